"""A stand-in for the Hugging Face Hub on this machine: for tests, and to rehearse a publication offline.

    lrl serve-hub --root DIR [--port 0]

prints what to export; `start` runs it in a thread. It serves the loopback interface only, programs but
not pages of others in a browser, and nothing that would fill the disk or keep it busy for long.

    server.py run.py           the table of routes; the life of a server
    guard.py limits.py         who is answered at all; how much a request may ask for
    journal.py faults.py       what every request passes through: it is written down, and may go wrong on demand
    access.py                  who asks, and what they may do
    repositories.py refs.py    the pages: repositories; branches, tags, history
    describe.py                what is told of a repository
    content.py uploads.py      trees and files; preupload and commit
    lfs.py collection.py       large files; collections
    store.py git.py disk.py    what is on disk: folders, git objects, atomic writes
    changes.py patterns.py     pure: a commit's operations; .gitattributes and .gitignore
    cards.py answers.py        pure: metadata of a README; errors, pages, ranges
"""

from hub_cards.local_hub.run import Hub, start

__all__ = ["Hub", "start"]
