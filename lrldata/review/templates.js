"use strict";
// Accept, correct or reject sentences. The answers are kept in the browser, and saved as a template set in TOML.
(() => {
  const { header } = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("form");
  const STORE = `lrl-templates ${header.language}`;
  const fieldsets = [...form.querySelectorAll(".asked")];
  const quoted = (text) => JSON.stringify(text).replace(/\u007f/g, "\\u007f");
  const key = (name) => (/^[\w-]+$/.test(name) ? name : quoted(name));
  const parts = (one) => ({
    sentence: one.querySelector(".sentence").value.normalize("NFC").trim(),
    choice: one.querySelector("[type=radio]:checked").value,
  });
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

  // A relation counts as reviewed if all its sentences were checked; it keeps those that were not rejected.
  function toml() {
    const lines = [];
    const reviewed = [];
    let whole = true;
    for (const fieldset of fieldsets) {
      const ones = [...fieldset.querySelectorAll(".one")].map(parts);
      const checked = ones.length > 0 && ones.every(({ choice }) => choice);
      const left = ones.filter(({ choice }) => choice !== "reject").map(({ sentence }) => sentence);
      whole &&= checked || ones.length === 0;
      if (left.length === 0) continue;
      if (checked) reviewed.push(fieldset.dataset.relation);
      lines.push(`${key(fieldset.dataset.relation)} = ${list(left)}`);
    }
    const name = form.querySelector("#name").value.trim();
    const { start_is: start, end_is: end, ...rest } = header;
    const values = { ...rest, reviewed: whole, reviewed_by: name && reviewed.length ? [name] : [], reviewed_relations: whole ? [] : reviewed };
    const top = Object.entries(values).map(([field, value]) => `${field} = ${Array.isArray(value) ? list(value) : JSON.stringify(value)}`);
    const tables = [["start_is", start], ["end_is", end]].flatMap(([field, some]) => Object.entries(some ?? {}).map(
      ([part, sentences]) => `\n[${field}.${part}]\n${Object.entries(sentences).map(([relation, each]) => `${key(relation)} = ${list(each)}`).join("\n")}`,
    ));
    return `${[...top, "", "[relations]", ...lines, ...tables].join("\n")}\n`;
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
    const ones = [...form.querySelectorAll(".one")];
    if (saved?.ones?.length === ones.length) {
      form.querySelector("#name").value = saved.name;
      ones.forEach((one, place) => {
        one.querySelector(".sentence").value = saved.ones[place].sentence;
        one.querySelector(`[value="${CSS.escape(saved.ones[place].choice)}"]`).checked = true;
      });
    }
  } catch {
    // Nothing is stored, or not by this page.
  }
})();
