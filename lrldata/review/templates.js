"use strict";
// Accept, correct or reject sentences. The answers are kept in the browser, and saved as a template set in TOML.
(() => {
  const { header, earlier } = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("form");
  const STORE = `lrl-templates ${header.language}`;
  const fieldsets = [...form.querySelectorAll(".asked")];
  const quoted = (text) => JSON.stringify(text).replace(/\u007f/g, "\\u007f");
  const key = (name) => (/^[\w-]+$/.test(name) ? name : quoted(name));
  const parts = (one) => ({
    relation: one.closest(".asked").dataset.relation,
    table: one.dataset.table,
    original: one.querySelector(".sentence").defaultValue,
    sentence: one.querySelector(".sentence").value.normalize("NFC").trim(),
    choice: one.querySelector("[type=radio]:checked").value,
  });
  const same = (one, other) => ["relation", "table", "original"].every((field) => one[field] === other[field]);
  const fits = (sentence) => ["{start}", "{end}"].every((slot) => sentence.split(slot).length === 2);

  function state() {
    return { name: form.querySelector("#name").value, ones: [...form.querySelectorAll(".one")].map(parts) };
  }

  function check(one) {
    const { sentence, choice } = parts(one);
    const wrong = choice === "right" && !fits(sentence);
    one.querySelector(".trouble").hidden = !wrong;
    return !wrong;
  }

  function list(values) {
    return `[${values.map(quoted).join(", ")}]`;
  }

  // A relation counts as reviewed if all its sentences were checked, now or before; it keeps those that were not rejected.
  function toml() {
    const tables = new Map([["relations", []]]);
    const reviewed = [];
    let whole = true;
    let completed = false; // a relation, in this review
    for (const fieldset of fieldsets) {
      const { relation } = fieldset.dataset;
      const ones = [...fieldset.querySelectorAll(".one")].map(parts);
      const checkedNow = ones.length > 0 && ones.every(({ choice }) => choice);
      const checked = checkedNow || (ones.length > 0 && earlier.relations.includes(relation));
      completed ||= checkedNow;
      const left = ones.filter(({ choice }) => choice !== "reject");
      whole &&= checked || ones.length === 0;
      if (!left.some(({ table }) => table === "relations")) continue;
      if (checked) reviewed.push(relation);
      for (const table of new Set(left.map((one) => one.table))) {
        const sentences = left.filter((one) => one.table === table).map(({ sentence }) => sentence);
        tables.set(table, [...(tables.get(table) ?? []), `${key(relation)} = ${list(sentences)}`]);
      }
    }
    const name = form.querySelector("#name").value.trim();
    const reviewers = [...new Set([...earlier.by, ...(name && completed ? [name] : [])])];
    const values = { ...header, reviewed: whole, reviewed_by: reviewers, reviewed_relations: whole ? [] : reviewed };
    const top = Object.entries(values).map(([field, value]) => `${field} = ${Array.isArray(value) ? list(value) : JSON.stringify(value)}`);
    const sections = [...tables].map(([table, lines]) => `\n[${table}]\n${lines.join("\n")}`);
    return `${[...top, ...sections].join("\n")}\n`;
  }

  function keep() {
    try {
      localStorage.setItem(STORE, JSON.stringify(state()));
    } catch {
      document.getElementById("told").textContent = "This browser does not store your answers: save the file before you leave the page.";
    }
  }

  form.addEventListener("input", (event) => {
    const one = event.target.closest(".one");
    if (one && event.target.matches(".sentence") && !one.querySelector("[type=radio]:checked").value) one.querySelector("[value=right]").checked = true;
    if (one) check(one);
    keep();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const bad = [...form.querySelectorAll(".one")].filter((one) => !check(one));
    if (bad.length) {
      bad[0].querySelector(".sentence").focus();
      return;
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([toml()], { type: "application/toml" }));
    link.download = `${header.language}.toml`;
    link.click();
    document.getElementById("told").textContent = "Saved. Use it with lrldata build --templates FILE, and send it to the project if you like.";
  });

  try {
    const saved = JSON.parse(localStorage.getItem(STORE));
    form.querySelector("#name").value = saved?.name ?? "";
    for (const one of form.querySelectorAll(".one")) {
      const answer = saved?.ones?.find((other) => same(parts(one), other));
      if (!answer) continue;
      one.querySelector(".sentence").value = answer.sentence;
      one.querySelector(`[value="${CSS.escape(answer.choice)}"]`).checked = true;
    }
  } catch {
    // Nothing is stored, or not by this page.
  }
})();
