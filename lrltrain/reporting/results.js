"use strict";
const said = document.getElementById("said");

function valueOf(row, column) {
  const cell = row.cells[column];
  if ("value" in cell.dataset) return Number(cell.dataset.value);
  return cell.textContent.trim();
}

// Rows without a value come last in both directions; equal ones stay in the order of the page.
function compare(one, other) {
  if (one === "" || other === "") return (one === "") - (other === "");
  return typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other), "en");
}

function inOrder(table) {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row, place) => (row.dataset.place ??= place, row));
  const head = table.querySelector("th[aria-sort]");
  const column = head?.cellIndex;
  const turn = head?.ariaSort === "descending" ? -1 : 1;
  rows.sort((one, other) => {
    const places = one.dataset.place - other.dataset.place;
    if (!head) return places;
    const [first, second] = [valueOf(one, column), valueOf(other, column)];
    const found = compare(first, second);
    return (first === "" || second === "" ? found : turn * found) || places;
  });
  body.append(...rows);
}

for (const table of document.querySelectorAll("table.sortable")) {
  table.tHead.addEventListener("click", (event) => {
    const head = event.target.closest("button")?.closest("th");
    if (!head) return;
    // Numbers begin with the highest, as that is what is looked for.
    const [first, second] = head.classList.contains("amount") ? ["descending", "ascending"] : ["ascending", "descending"];
    const next = head.getAttribute("aria-sort") === first ? second : first;
    for (const each of table.tHead.querySelectorAll("[aria-sort]")) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", next);
    inOrder(table);
    said.textContent = `Sorted by ${head.textContent.trim()}, ${next}.`;
  });
}

function fits(row, name, value) {
  if (!value) return true;
  if (name === "search") return row.textContent.toLocaleLowerCase().includes(value.trim().toLocaleLowerCase());
  if (name === "verdict") return row.querySelector(`.change.${CSS.escape(value)}`) !== null;
  return row.dataset[name] === value;
}

for (const form of document.querySelectorAll("form.tools")) {
  const table = document.getElementById(form.dataset.table);
  const state = form.querySelector(".state");
  state.setAttribute("role", "status");
  const show = () => {
    const wanted = [...new FormData(form)];
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      row.hidden = !wanted.every(([name, value]) => fits(row, name, value));
      shown += !row.hidden;
    }
    state.textContent = `${shown.toLocaleString("en")} of ${Number(form.dataset.rows).toLocaleString("en")} rows shown.`;
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => {
    for (const each of table.tHead.querySelectorAll("[aria-sort]")) each.removeAttribute("aria-sort");
    inOrder(table);
    setTimeout(show);
  });
  show(); // a browser that comes back to the page may have kept what was chosen
}

// A link to a language leads to its summary, and so the browser puts the focus there; what is in it is opened too.
function open() {
  const summary = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (summary?.matches("summary")) summary.parentElement.open = true;
}
window.addEventListener("hashchange", open);
open();
