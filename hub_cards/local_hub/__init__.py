"""A local stand-in for the Hugging Face Hub, for tests and for rehearsing a publication offline.

    lrl serve-hub --root DIR [--port 0]

prints the environment variables to export; `start` runs the server in a thread. It listens on the loopback interface
only, answers programs but not web pages of other origins, and refuses requests that would fill the disk or keep it
busy for long.

    server.py run.py           the routes; starting and stopping a server
    guard.py limits.py         which senders are answered; how much a request may ask for
    journal.py faults.py       the log of all requests; failures on demand
    access.py                  users, tokens and permissions
    repositories.py refs.py    endpoints: repositories; branches, tags, history
    describe.py                the description of a repository
    content.py uploads.py      endpoints: trees and files; preupload and commit
    lfs.py collection.py       endpoints: large files; collections
    store.py git.py disk.py    storage: folders, git objects, atomic writes
    changes.py patterns.py     pure: a commit's operations; .gitattributes and .gitignore
    cards.py answers.py        pure: metadata of a README; errors, pages, ranges
"""

from hub_cards.local_hub.run import Hub, start

__all__ = ["Hub", "start"]
