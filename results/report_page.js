"use strict";
// A click on a column's name sorts its table: numbers by value, the rest as text, what is empty last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = table.tBodies[0];
    const key = row => row.cells[column].dataset.v ?? row.cells[column].textContent;
    const rows = [...body.rows].map(row => [key(row), row]);
    rows.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      const x = Number(a), y = Number(b);
      const order = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
      return up ? order : -order;
    });
    body.append(...rows.map(([, row]) => row));
  }));
}

// A text of a diffusion sampler, pass by pass: a slider, a button that plays, and each token's number where it is
// pointed at or reached with the arrow keys.
for (const text of document.querySelectorAll("pre.reveal")) {
  const tokens = [...text.querySelectorAll("span[data-p]")];
  const passOf = token => Number(token.dataset.p);
  const last = Math.max(...tokens.map(passOf), 1);
  const bar = document.createElement("div");
  bar.className = "replay";
  const play = document.createElement("button");
  play.type = "button";
  const slider = document.createElement("input");
  Object.assign(slider, {type: "range", min: 0, max: last, value: last});
  slider.setAttribute("aria-label", "network pass");
  const told = document.createElement("output");
  bar.append(play, slider, told);
  text.before(bar);
  text.tabIndex = 0;
  text.setAttribute("role", "group");
  text.setAttribute("aria-label", "text; arrow keys go from token to token");
  let timer = 0, at = -1;
  const show = () => {
    const pass = Number(slider.value);
    let there = 0;
    for (const token of tokens) {
      const hidden = passOf(token) > pass;
      token.classList.toggle("later", hidden);
      token.classList.toggle("now", passOf(token) === pass && pass < last);
      there += hidden ? 0 : 1;
    }
    told.textContent = `pass ${pass} of ${last}: ${there} of ${tokens.length} tokens`;
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "▶";
    play.setAttribute("aria-label", "play");
  };
  const step = () => {
    slider.value = Number(slider.value) + 1;
    show();
    if (Number(slider.value) >= last) stop();
  };
  const tell = token => {
    for (const other of tokens) other.classList.toggle("here", other === token);
    const word = token.classList.contains("later") ? "hidden" : `“${token.textContent}”`;
    told.textContent = `${word}: pass ${token.dataset.p} of ${last}`;
  };
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (Number(slider.value) >= last) slider.value = 0;
    show();
    timer = setInterval(step, Math.min(400, 12000 / last));
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "pause");
  });
  slider.addEventListener("input", () => { stop(); show(); });
  text.addEventListener("mouseover", event => { if (event.target.dataset.p) tell(event.target); });
  text.addEventListener("keydown", event => {
    const move = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (!move || !tokens.length) return;
    event.preventDefault();
    at = Math.min(tokens.length - 1, Math.max(0, at + move));
    tokens[at].scrollIntoView({block: "nearest"});
    tell(tokens[at]);
  });
  stop();
  show();
}
