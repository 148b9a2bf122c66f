"use strict";
// Judge the sample lines by mouse or keyboard. Marks are stored in the browser if it allows that.
(() => {
  const tools = document.querySelector("form.tools");
  if (!tools) return;
  const dataset = { ...document.body.dataset };
  const STORE = `lrl-report ${dataset.language} ${dataset.source}`; // without the version: lines keep their marks in later ones
  const help = document.getElementById("help");
  const keysOn = help.querySelector("[name=keys]");
  const field = tools.elements;
  const groups = [...document.querySelectorAll("details.group")];
  const samples = [...document.querySelectorAll(".sample")];
  const groupOf = (element) => element.closest("details.group");
  const membersOf = new Map(groups.map((group) => [group, [...group.querySelectorAll(".sample")]]));
  const percent = (value) => `${(100 * value).toFixed(1)}%`;
  const count = (value) => value.toLocaleString("en-US");
  const folded = (text) => text.normalize("NFC").toLowerCase();
  const wordsOf = (sample) => folded([...sample.querySelectorAll("p")].map((part) => part.textContent).join("\n"));
  let current = null;

  // If file:// pages have no storage, reading it throws.
  function stored(name) {
    try {
      return localStorage.getItem(name);
    } catch {
      return undefined;
    }
  }

  function store(name, value) {
    try {
      localStorage.setItem(name, value);
      return true;
    } catch {
      return false;
    }
  }

  function readMarks() {
    try {
      const entries = Object.entries(JSON.parse(stored(STORE) ?? "{}"));
      return new Map(entries.filter(([, mark]) => mark === "right" || mark === "wrong"));
    } catch {
      return new Map();
    }
  }

  let marks = readMarks();
  const markOf = (sample) => marks.get(sample.dataset.key);

  function save() {
    document.getElementById("storage").hidden = store(STORE, JSON.stringify(Object.fromEntries(marks)));
  }

  function say(words) {
    document.getElementById("said").textContent = words;
  }

  // The 95 % interval of Wilson (1927).
  function interval(wrong, judged) {
    const z = 1.959964;
    const share = wrong / judged;
    const middle = (share + (z * z) / (2 * judged)) / (1 + (z * z) / judged);
    const half = (z / (1 + (z * z) / judged)) * Math.sqrt((share * (1 - share)) / judged + (z * z) / (4 * judged * judged));
    return [Math.max(0, middle - half), Math.min(1, middle + half)];
  }

  function tally(members) {
    const right = members.filter((sample) => markOf(sample) === "right").length;
    const wrong = members.filter((sample) => markOf(sample) === "wrong").length;
    const counts = { samples: members.length, right, wrong };
    if (right + wrong === 0) return counts;
    const [low, high] = interval(wrong, right + wrong);
    return { ...counts, share_wrong: wrong / (right + wrong), low, high };
  }

  function showMark(sample) {
    const mark = markOf(sample);
    sample.dataset.mark = mark ?? "";
    for (const button of sample.querySelectorAll("[data-mark]")) {
      button.setAttribute("aria-pressed", String(button.dataset.mark === mark));
    }
  }

  function showTallies() {
    for (const [group, members] of membersOf) {
      const { right, wrong, share_wrong: share, low, high } = tally(members);
      group.querySelector(".judged").textContent = right + wrong
        ? `${right + wrong} judged, ${wrong} wrong: ${percent(share)} (${percent(low)} to ${percent(high)})`
        : "";
    }
    const all = tally(samples);
    document.getElementById("judged").textContent = `${count(all.right + all.wrong)} judged, ${count(all.wrong)} wrong.`;
  }

  function mark(sample, value) {
    const key = sample.dataset.key;
    const removed = marks.get(key) === value;
    if (removed) marks.delete(key);
    else marks.set(key, value);
    showMark(sample);
    showTallies();
    save();
    const { right, wrong, samples: whole } = tally(membersOf.get(groupOf(sample)));
    say(`${removed ? "Mark removed" : `Marked ${value}`}. ${right + wrong} of ${whole} judged in this group.`);
    return !removed;
  }

  // In each group, Tab reaches only one line and its buttons; keys lead to the others.
  function reach(sample) {
    for (const member of membersOf.get(groupOf(sample))) {
      const here = member === sample;
      member.tabIndex = here ? 0 : -1;
      for (const button of member.querySelectorAll("button")) button.tabIndex = here ? 0 : -1;
    }
  }

  function setCurrent(sample) {
    if (current) current.removeAttribute("aria-current");
    current = sample;
    sample.setAttribute("aria-current", "true");
    reach(sample);
  }

  function go(sample) {
    groupOf(sample).open = true;
    setCurrent(sample);
    sample.focus({ preventScroll: true });
    sample.scrollIntoView({ block: "nearest" });
  }

  function move(step) {
    const listed = samples.filter((sample) => !sample.hidden && !groupOf(sample).hidden);
    const place = listed.indexOf(current);
    const first = listed.find((sample) => !groupOf(sample).closest(".threshold"));
    const next = place < 0 ? first : listed[place + step];
    if (next) go(next);
    else say(step > 0 ? "This is the last line" : "This is the first line");
  }

  function filter() {
    const words = folded(field.search.value.trim());
    const markFilter = field.mark.value;
    let matching = 0;
    let whole = 0;
    for (const [group, members] of membersOf) {
      if (group.closest(".threshold")) continue;
      whole += members.length;
      const chosen = !field.group.value || group.dataset.group === field.group.value;
      let seen = 0;
      for (const sample of members) {
        const matches = (!words || wordsOf(sample).includes(words)) && (!markFilter || (markOf(sample) ?? "none") === markFilter);
        sample.hidden = !matches;
        seen += matches;
      }
      group.hidden = !chosen || seen === 0;
      if (chosen && seen && (words || markFilter || field.group.value)) group.open = true;
      const reachable = members.find((sample) => sample.tabIndex === 0 && !sample.hidden) ?? members.find((sample) => !sample.hidden);
      if (reachable) reach(reachable);
      matching += chosen ? seen : 0;
    }
    document.getElementById("matching").textContent = `${count(matching)} of ${count(whole)} lines shown.`;
  }

  // A link to a group opens it, and removes a filter that hides it.
  function reveal(hash) {
    const group = groups.find((candidate) => `#${candidate.id}` === decodeURIComponent(hash));
    if (!group) return;
    if (group.hidden) {
      tools.reset();
      filter();
    }
    group.open = true;
    group.querySelector("summary").focus({ preventScroll: true });
    group.scrollIntoView();
  }

  function markedLines() {
    return samples.filter(markOf).map((sample) => ({
      group: groupOf(sample).dataset.group,
      mark: markOf(sample),
      text: sample.querySelector(".text").textContent,
      doc: sample.querySelector(".doc")?.textContent ?? "",
      url: sample.querySelector("a")?.getAttribute("href") ?? "",
      taken_for: sample.querySelector("b")?.textContent ?? "",
    }));
  }

  function asJson() {
    const judged = [...membersOf].map(([group, members]) => [group.dataset.group, tally(members)]);
    const tallies = Object.fromEntries(judged.filter(([, { right, wrong }]) => right + wrong));
    return `${JSON.stringify({ format: "lrl-marks-1", dataset, groups: tallies, marks: markedLines() }, null, 2)}\n`;
  }

  // No cell may begin like a formula, because spreadsheets would run it.
  function asTsv() {
    const cell = (text) => text.replace(/[\t\r\n]+/g, " ").replace(/^[=+\-@]/, "'$&");
    const rows = markedLines().map((line) => Object.values(line).map(cell).join("\t"));
    return `${["group\tmark\ttext\tdoc\turl\ttaken_for", ...rows].join("\n")}\n`;
  }

  function download(ending, type, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = `${dataset.language}-${dataset.source}-marks.${ending}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function clear() {
    if (!confirm("Delete all marks on this page?")) return;
    for (const sample of samples) marks.delete(sample.dataset.key);
    save();
    samples.forEach(showMark);
    showTallies();
  }

  const KEYS = {
    j: () => move(1),
    k: () => move(-1),
    r: () => current && mark(current, "right") && move(1),
    w: () => current && mark(current, "wrong") && move(1),
    "/": () => field.search.focus(),
    "?": () => help.showModal(),
  };
  const ARROWS = { ArrowDown: KEYS.j, ArrowUp: KEYS.k };

  function pressed(event) {
    const within = event.target instanceof Element ? event.target : document.body;
    if (event.ctrlKey || event.metaKey || event.altKey || help.open || within.matches("input, select, textarea")) return;
    const action = (keysOn.checked && KEYS[event.key]) || (within.closest(".sample") && ARROWS[event.key]);
    if (!action) return;
    event.preventDefault();
    action();
  }

  const judge = document.getElementById("judge").content;
  for (const sample of samples) {
    sample.append(judge.cloneNode(true));
    showMark(sample);
  }
  for (const members of membersOf.values()) if (members.length) reach(members[0]);
  keysOn.checked = stored("lrl-report keys") !== "off";
  keysOn.addEventListener("change", () => store("lrl-report keys", keysOn.checked ? "on" : "off"));
  document.addEventListener("keydown", pressed);
  document.addEventListener("focusin", ({ target }) => {
    const sample = target.closest?.(".sample");
    if (sample && sample !== current) setCurrent(sample);
  });
  document.addEventListener("click", ({ target }) => {
    const button = target.closest?.(".judge button");
    if (button) mark(button.closest(".sample"), button.dataset.mark);
    const link = target.closest?.('a[href^="#"]');
    if (link) setTimeout(() => reveal(link.hash));
  });
  addEventListener("hashchange", () => reveal(location.hash));
  addEventListener("storage", () => {
    marks = readMarks();
    samples.forEach(showMark);
    showTallies();
  });
  tools.addEventListener("submit", (event) => event.preventDefault());
  tools.addEventListener("input", () => {
    filter();
    const first = groups.find((group) => !group.hidden && !group.closest(".threshold"));
    if (first && first.getBoundingClientRect().top < tools.getBoundingClientRect().bottom) first.scrollIntoView();
  });
  field.open.addEventListener("click", () => {
    const open = field.open.getAttribute("aria-pressed") !== "true";
    field.open.setAttribute("aria-pressed", String(open));
    field.open.textContent = open ? "Close all" : "Open all";
    for (const group of groups) if (!group.closest(".threshold")) group.open = open;
  });
  field.help.addEventListener("click", KEYS["?"]);
  field.json.addEventListener("click", () => download("json", "application/json", asJson()));
  field.tsv.addEventListener("click", () => download("tsv", "text/tab-separated-values", asTsv()));
  field.clear.addEventListener("click", clear);
  help.querySelector("[name=close]").addEventListener("click", () => help.close());
  tools.hidden = false;
  // Keep the targets of scrolling clear of the tools, which stay fixed above them.
  new ResizeObserver(() => document.documentElement.style.setProperty("--tools", `${tools.offsetHeight}px`)).observe(tools);
  document.getElementById("storage").hidden = store(STORE, JSON.stringify(Object.fromEntries(marks)));
  showTallies();
  filter();
  reveal(location.hash);
})();
