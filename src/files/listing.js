(() => {
  const list = document.querySelector(".directory-listing");
  const buttons = [...list.querySelectorAll(".header button")];
  const rows = [...list.querySelectorAll(".item:not(.parent)")];
  const collator = new Intl.Collator(undefined, {numeric: true});
  const name = (row) => row.querySelector(".item-name").textContent;
  const number = (place) => (row) => Number(row.querySelector(place).dataset.value);
  const byName = (a, b) => collator.compare(name(a), name(b));
  const by = (value) => (a, b) => value(a) - value(b) || byName(a, b);
  const orders = {name: byName, date: by(number(".date-modified")), size: by(number(".size"))};
  const sort = (button) => {
    // Names begin with the first, times and sizes with the last.
    const first = button.dataset.key === "name" ? "up" : "down";
    const other = first === "up" ? "down" : "up";
    const order = button.dataset.order === first ? other : first;
    for (const each of buttons) {
      delete each.dataset.order;
      each.setAttribute("aria-pressed", each === button);
    }
    button.dataset.order = order;
    const compare = orders[button.dataset.key];
    const sign = order === "up" ? 1 : -1;
    const directory = (row) => row.classList.contains("directory") ? 0 : 1;
    rows.sort((a, b) => directory(a) - directory(b) || sign * compare(a, b));
    list.append(...rows);
  };
  for (const button of buttons) {
    button.addEventListener("click", () => sort(button));
  }
  sort(buttons[0]);
  // The path in the title, each part of it a way back.
  const title = document.querySelector("h2");
  const parts = title.textContent.split("/").slice(1, -1);
  title.textContent = "/";
  parts.forEach((part, index) => {
    const link = document.createElement("a");
    link.textContent = part;
    link.href = "./" + "../".repeat(parts.length - 1 - index);
    title.append(link, "/");
  });
})();
