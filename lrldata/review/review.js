"use strict";
// Judge lines one by one. If the page comes from a server, each verdict is saved there before the next line is shown. A
// standalone page keeps the verdicts in the browser, and saves them as a file at the end.
(() => {
  const { words, about, lines } = JSON.parse(document.getElementById("data").textContent);
  const by = (id) => document.getElementById(id);
  const [start, judge, end, state, help, line, note] = ["start", "judge", "end", "state", "help", "line", "note"].map(by);
  const STORE = `lrl-review ${about.language} ${about.source}`;
  const DECISIONS = ["right", "wrong", "unsure"];
  const UNNAMED = "unnamed-";
  const TOO_SOON = 300; // milliseconds after a line appeared
  const NUMBERS = { 1: "right", 2: "wrong", 3: "unsure", 4: "undo", 5: "note" };
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  let reviewer = "";
  let credit = false;
  let shown = null; // the id of the line on the page
  let shownAt = 0;
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
    // Another tab may have stored verdicts in the meantime.
    read() {
      const verdicts = stored(`${STORE} verdicts`);
      const known = new Map([...(Array.isArray(verdicts) ? verdicts : []), ...file.verdicts].map((one) => [JSON.stringify(one), one]));
      file.verdicts = [...known.values()].sort((one, other) => (one.time < other.time ? -1 : one.time > other.time ? 1 : 0));
    },
    write() {
      by("not-kept").hidden = store(`${STORE} verdicts`, file.verdicts);
    },
    begin() {
      file.read();
      file.write();
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
      const latest = file.verdicts.filter((one) => one.reviewer === reviewer).pop()?.time ?? 0;
      const time = new Date(Math.max(Date.now(), Date.parse(latest) + 1 || 0)).toISOString(); // the clock may be set back
      file.verdicts.push({ ...dataset, line: id, decision, reviewer, credit, time, note: noted });
      file.write();
    },
    async ask({ line: id, decision, note: noted = "", undo = false }) {
      file.read();
      let undone = null;
      let takenBack = "";
      if (undo) {
        undone = [...file.standing().keys()].pop() ?? null;
        takenBack = file.standing().get(undone)?.note ?? "";
        if (undone) file.add(undone, "none", "");
      } else if (id) {
        file.add(id, decision, noted);
      }
      const judged = file.standing();
      const next = undone ?? [...file.texts.keys()].find((name) => !judged.has(name)) ?? null;
      const text = file.texts.get(next) ?? "";
      return { line: next, text, note: takenBack, judged: judged.size, lines: file.texts.size, can_undo: judged.size > 0 };
    },
    save() {
      file.read();
      const blob = new Blob(file.verdicts.map((verdict) => `${JSON.stringify(verdict)}\n`), { type: "application/jsonl" });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `verdicts-${about.language}-${about.source}-${reviewer.replace(/[^\p{L}\p{N}]+/gu, "-")}.jsonl`;
      link.click();
      URL.revokeObjectURL(link.href);
    },
  };

  const backend = lines ? file : server;

  // As in printed text, the direction is that of most letters. With dir="auto", the first one would decide.
  function directionOf(text) {
    const letters = text.match(/\p{L}/gu) ?? [];
    const fromRight = letters.filter((letter) => /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}]/u.test(letter));
    return fromRight.length * 2 > letters.length ? "rtl" : letters.length ? "ltr" : "auto";
  }

  function show(answer) {
    shown = answer.line;
    shownAt = performance.now();
    line.textContent = answer.text;
    line.dir = directionOf(answer.text);
    line.scrollTop = 0;
    note.value = answer.note ?? "";
    by("noting").hidden = note.value === "";
    judge.querySelector("[name=note]").setAttribute("aria-expanded", String(note.value !== ""));
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
    reviewer = start.elements.name.value.trim() || `${UNNAMED}${crypto.getRandomValues(new Uint32Array(1))[0].toString(16)}`;
    credit = start.elements.credit.checked && !reviewer.startsWith(UNNAMED);
    store(STORE, { name: reviewer, credit });
    start.hidden = true;
    state.hidden = false;
    if (lines) file.begin();
    ask({}, "");
  });

  document.addEventListener("click", (event) => {
    const name = event.target.closest("button")?.name;
    // The second click of a double click is meant for the line before.
    if (DECISIONS.includes(name) && event.detail && (event.detail > 1 || performance.now() - shownAt < TOO_SOON)) return;
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
    // On many keyboards, the keys with the digits type other signs.
    const digit = event.key.length === 1 ? /^(?:Digit|Numpad)([1-5])$/.exec(event.code)?.[1] : null; // no arrow keys
    const action = byLetter ?? NUMBERS[digit ?? event.key];
    if (!action) return;
    event.preventDefault();
    ACTIONS[action]();
  });

  const before = stored(STORE);
  if (before) {
    start.elements.name.value = before.name || before.unnamed || "";
    start.elements.credit.checked = before.credit === true;
    // Another person must not publish a name because the one before agreed to that.
    start.elements.name.addEventListener("input", () => {
      start.elements.credit.checked = before.credit === true && start.elements.name.value.trim() === before.name;
    });
  }
  start.hidden = false;
  start.elements.name.focus();
})();
