"use strict";
// Judge lines one by one. If the page comes from a server, each verdict is saved there before the next line is shown. A
// standalone page keeps the verdicts in the browser, and saves them as a file at the end.
(() => {
  const { words, about, lines } = JSON.parse(document.getElementById("data").textContent);
  const by = (id) => document.getElementById(id);
  const [start, judge, end, state, help, line, note] = ["start", "judge", "end", "state", "help", "line", "note"].map(by);
  const STORE = `lrl-review ${about.language} ${about.source}`;
  const DECISIONS = ["right", "wrong", "unsure"];
  const NUMBERS = { 1: "right", 2: "wrong", 3: "unsure", 4: "undo", 5: "note" };
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  let reviewer = "";
  let credit = false;
  let shown = null; // the id of the line on the page
  let busy = false;

  function stored(name) {
    try {
      return JSON.parse(localStorage.getItem(name));
    } catch {
      return null;
    }
  }

  function store(name, value) {
    try {
      localStorage.setItem(name, JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  }

  const server = {
    async ask(request) {
      const answer = await fetch("answer", {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Lrl-Review": "1" },
        body: JSON.stringify({ reviewer, credit, ...request }),
      });
      if (!answer.ok) throw new Error(await answer.text());
      return answer.json();
    },
  };

  const file = {
    texts: new Map(lines ?? []),
    verdicts: [],
    begin() {
      const verdicts = stored(`${STORE} verdicts`);
      file.verdicts = Array.isArray(verdicts) ? verdicts : [];
      by("not-kept").hidden = store(`${STORE} verdicts`, file.verdicts);
    },
    standing() {
      const latest = new Map();
      for (const verdict of file.verdicts.filter((one) => one.reviewer === reviewer && file.texts.has(one.line))) {
        latest.delete(verdict.line);
        if (verdict.decision !== "none") latest.set(verdict.line, verdict);
      }
      return latest;
    },
    add(id, decision, noted) {
      const { recipe, ...dataset } = about;
      const time = new Date().toISOString();
      file.verdicts.push({ ...dataset, line: id, decision, reviewer, credit, time, note: noted });
      by("not-kept").hidden = store(`${STORE} verdicts`, file.verdicts);
    },
    async ask({ line: id, decision, note: noted = "", undo = false }) {
      let undone = null;
      if (undo) {
        undone = [...file.standing().keys()].pop() ?? null;
        if (undone) file.add(undone, "none", "");
      } else if (id) {
        file.add(id, decision, noted);
      }
      const judged = file.standing();
      const next = undone ?? [...file.texts.keys()].find((name) => !judged.has(name)) ?? null;
      return { line: next, text: file.texts.get(next) ?? "", judged: judged.size, lines: file.texts.size, can_undo: judged.size > 0 };
    },
    save() {
      const blob = new Blob(file.verdicts.map((verdict) => `${JSON.stringify(verdict)}\n`), { type: "application/jsonl" });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `verdicts-${about.language}-${about.source}-${reviewer.replace(/[^\p{L}\p{N}]+/gu, "-")}.jsonl`;
      link.click();
      URL.revokeObjectURL(link.href);
    },
  };

  const backend = lines ? file : server;

  function show(answer) {
    shown = answer.line;
    line.textContent = answer.text;
    line.scrollTop = 0;
    note.value = "";
    openNote(false);
    judge.hidden = shown === null;
    end.hidden = shown !== null;
    by("count").textContent = fill(words.progress, { judged: answer.judged, lines: answer.lines });
    for (const button of document.querySelectorAll("[name=undo]")) button.disabled = !answer.can_undo;
    (shown === null ? end.querySelector("h2") : line).focus({ preventScroll: true });
  }

  async function ask(request, message) {
    if (busy) return;
    busy = true;
    try {
      show(await backend.ask(request));
      by("trouble").textContent = "";
      by("said").textContent = message;
    } catch (error) {
      by("trouble").textContent = words.failed;
      console.info(error.message);
    } finally {
      busy = false;
    }
  }

  function openNote(open) {
    by("noting").hidden = !open;
    judge.querySelector("[name=note]").setAttribute("aria-expanded", String(open));
    if (open) note.focus();
  }

  const ACTIONS = {
    undo: () => ask({ undo: true }, words.undone),
    note: () => openNote(by("noting").hidden),
    help: () => help.showModal(),
    ...Object.fromEntries(DECISIONS.map((decision) => [
      decision,
      () => shown !== null && ask({ line: shown, decision, note: note.value }, fill(words.saved, { decision: words[decision] })),
    ])),
  };

  start.addEventListener("submit", (event) => {
    event.preventDefault();
    const before = stored(STORE) ?? {};
    reviewer = start.elements.name.value.trim() || before.unnamed || `unnamed-${crypto.getRandomValues(new Uint32Array(1))[0].toString(16)}`;
    credit = start.elements.credit.checked;
    const unnamed = reviewer.startsWith("unnamed-") ? reviewer : before.unnamed;
    store(STORE, { name: start.elements.name.value.trim(), credit, unnamed });
    start.hidden = true;
    state.hidden = false;
    if (lines) file.begin();
    ask({}, "");
  });

  document.addEventListener("click", (event) => {
    const name = event.target.closest("button")?.name;
    if (name in ACTIONS) ACTIONS[name]();
    else if (name === "save") file.save();
    else if (name === "close") help.close();
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || state.hidden || help.open) return;
    if (event.target === note) {
      if (event.key === "Escape") openNote(false);
      if (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey)) {
        event.preventDefault();
        if (event.key === "Enter") by("noting").hidden = false;
        line.focus();
      }
      return;
    }
    if (event.target.matches("input, select, textarea")) return;
    const letters = help.querySelector("[name=numbers]").checked ? {} : words.letters;
    const byLetter = Object.keys(letters).find((name) => letters[name] === event.key.toLowerCase());
    const action = byLetter ?? NUMBERS[event.key];
    if (!action) return;
    event.preventDefault();
    ACTIONS[action]();
  });

  const before = stored(STORE);
  if (before) {
    start.elements.name.value = before.name ?? "";
    start.elements.credit.checked = before.credit === true;
  }
  start.hidden = false;
  start.elements.name.focus();
})();
