// Columns sort by a click on their head: down, up, and as printed again. The page is complete without it.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], printed = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const text = (row, at) => row.cells[at].textContent.trim();
  const number = (row, at) => {
    const found = text(row, at).replaceAll(",", "").replaceAll("−", "-").match(/^[^\p{L}\d]*?(-?\d+(\.\d+)?)/u);
    return found ? Number(found[1]) : NaN;
  };
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort by this column";
    button.append(...head.childNodes);
    head.append(button);
    const words = head.dataset.sort === "text";
    const empty = (row) => (words ? !text(row, at) : Number.isNaN(number(row, at)));
    const compare = (a, b) => (words ? text(a, at).localeCompare(text(b, at), "en", { numeric: true }) : number(a, at) - number(b, at));
    button.addEventListener("click", () => {
      const next = { null: "ascending", ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (next) head.setAttribute("aria-sort", next);
      table.classList.toggle("sorted", Boolean(next));
      const sign = next === "descending" ? -1 : 1;
      const sorted = (a, b) => empty(a) - empty(b) || (empty(a) ? 0 : sign * compare(a, b));
      body.append(...(next ? [...printed].sort(sorted) : printed));
    });
  });
}
