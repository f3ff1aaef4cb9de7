"use strict";
(() => {
  document.documentElement.classList.add("ready");

  const make = (tag, options = {}, ...children) => {
    const { dataset, ...rest } = options;
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(rest)) {
      if (name.includes("-") || name === "role" || name === "scope" || name === "for") element.setAttribute(name, value);
      else element[name] = value;
    }
    Object.assign(element.dataset, dataset);
    element.append(...children);
    return element;
  };

  // The slider between query and counterfactual.
  const compare = (figure) => {
    const stage = figure.querySelector(".stage");
    const slider = stage.querySelector("input");
    const { source, target } = figure.dataset;
    const mode = () => figure.querySelector("[name=mode]:checked").value;
    const update = () => {
      const at = slider.value;
      const wiping = mode() === "wipe";
      figure.classList.toggle("wipe", wiping);
      figure.classList.toggle("blend", !wiping);
      stage.style.setProperty("--at", at);
      slider.setAttribute("aria-valuetext", wiping
        ? `Query (${source}) on the left ${at} percent, counterfactual (${target}) on the rest`
        : `${at} percent of the change from ${source} to ${target}`);
    };
    slider.addEventListener("input", update);
    figure.addEventListener("change", update);
    update();
  };

  // The animated path.
  const walk = (figure) => {
    const picture = figure.querySelector("img");
    const slider = figure.querySelector("input");
    const output = figure.querySelector("output");
    const button = figure.querySelector("button");
    const frames = Number(figure.dataset.frames);
    let timer = 0;
    let step = 1;
    const update = () => {
      const share = (slider.value / (frames - 1)) * figure.dataset.end;
      picture.style.transform = `translateX(${(-100 * slider.value) / frames}%)`;
      output.textContent = share.toFixed(1);
      slider.setAttribute("aria-valuetext", `${share.toFixed(1)} of the change`);
    };
    const stop = () => {
      clearInterval(timer);
      timer = 0;
      button.textContent = "Play";
      button.setAttribute("aria-pressed", "false");
    };
    const advance = () => {
      const next = Number(slider.value) + step;
      if (next < 0 || next >= frames) step = -step;
      slider.value = Number(slider.value) + step;
      update();
    };
    button.addEventListener("click", () => {
      if (timer) return stop();
      timer = setInterval(advance, 140);
      button.textContent = "Pause";
      button.setAttribute("aria-pressed", "true");
    });
    slider.addEventListener("input", () => { stop(); update(); });
    update();
  };

  // The table of rows: filters, sorting, columns, pages.
  const PAGE = 50;
  let fields = 0;
  const field = (text, control) => {
    control.id = `field-${++fields}`;
    return make("div", {}, make("label", { for: control.id }, text), control);
  };

  const decimals = (values) => {
    const known = values.filter((value) => value !== null);
    if (known.every(Number.isInteger)) return 0;
    const largest = known.reduce((top, value) => Math.max(top, Math.abs(value)), 0);
    return Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(largest))));
  };

  class Rows {
    constructor(root, data) {
      this.root = root;
      this.data = data;
      this.columns = data.columns.filter((column) => column.key !== "case");
      this.pages = data.columns.find((column) => column.key === "case");
      this.order = null;
      this.page = 0;
      this.build();
      this.follow();
      window.addEventListener("hashchange", () => this.follow());
    }

    text(column, row) {
      const value = column.values[row];
      if (value === null) return "–";
      if (column.kind === "level") return column.key === "status" ? column.levels[value].replaceAll("_", " ") : column.levels[value];
      if (column.kind === "flag") return value ? "yes" : "no";
      if (column.kind !== "number") return value;
      column.decimals ??= decimals(column.values);
      return value.toFixed(column.decimals).replace("-", "−");
    }

    get selected() {
      const filters = this.filters();
      const rows = [];
      for (let row = 0; row < this.data.rows; row++) if (filters.every((passes) => passes(row))) rows.push(row);
      return this.sorted(rows);
    }

    filters() {
      const filters = [];
      const text = this.search.value.trim().toLowerCase();
      if (text) filters.push((row) => this.haystack(row).includes(text));
      for (const [column, select] of this.selects) {
        if (select.value === "") continue;
        const wanted = Number(select.value);
        filters.push((row) => column.values[row] === wanted);
      }
      const column = this.columns.find((one) => one.key === this.measure.value);
      const [low, high] = [this.low, this.high].map((input) => (input.value === "" ? null : Number(input.value)));
      if (column && low !== null) filters.push((row) => column.values[row] !== null && column.values[row] >= low);
      if (column && high !== null) filters.push((row) => column.values[row] !== null && column.values[row] <= high);
      return filters;
    }

    haystack(row) {
      this.haystacks ??= [];
      return (this.haystacks[row] ??= this.columns.filter((column) => column.kind === "text" || column.kind === "level")
        .map((column) => this.text(column, row)).join("\n").toLowerCase());
    }

    sorted(rows) {
      if (!this.order) return rows;
      const { column, down } = this.order;
      const compareText = new Intl.Collator("en", { numeric: true }).compare;
      const value = (row) => (column.kind === "level" && column.values[row] !== null ? column.levels[column.values[row]] : column.values[row]);
      return rows.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === null || y === null) return (x === null) - (y === null) || a - b;
        const difference = typeof x === "string" ? compareText(x, y) : x - y;
        return (down ? -difference : difference) || a - b;
      });
    }

    build() {
      this.form = this.root.querySelector("form");
      this.search = make("input", { type: "search", autocomplete: "off" });
      this.form.append(field("Search text", this.search));
      this.selects = this.data.columns.filter((column) => column.filter && column.levels.length > 1).map((column) => {
        const counts = column.levels.map(() => 0);
        for (const value of column.values) if (value !== null) counts[value] += 1;
        const options = column.levels.map((level, k) => make("option", { value: k }, `${level} (${counts[k]})`));
        const select = make("select", { dataset: { key: column.key } }, make("option", { value: "" }, "all"), ...options);
        this.form.append(field(column.title, select));
        return [column, select];
      });
      this.buildRange();
      this.form.append(make("button", { type: "reset" }, "Clear"));
      this.buildChooser();
      this.form.addEventListener("submit", (event) => event.preventDefault());
      this.form.addEventListener("input", () => this.changed());
      this.form.addEventListener("reset", () => setTimeout(() => this.changed()));
      this.buildTurn();
    }

    buildRange() {
      const numbers = this.columns.filter((column) => column.kind === "number");
      this.measure = make("select", { "aria-label": "Measure" },
        ...numbers.map((column) => make("option", { value: column.key }, column.title)));
      this.low = make("input", { type: "number", step: "any", placeholder: "from", "aria-label": "at least" });
      this.high = make("input", { type: "number", step: "any", placeholder: "to", "aria-label": "at most" });
      this.form.append(make("fieldset", {}, make("legend", {}, "Range of"), make("div", {}, this.measure, this.low, this.high)));
    }

    buildChooser() {
      const boxes = this.columns.map((column) => {
        const box = make("input", { type: "checkbox", checked: column.shown, defaultChecked: column.shown });
        box.addEventListener("change", () => { column.shown = box.checked; this.draw(); });
        return make("li", {}, make("label", {}, box, column.title));
      });
      this.form.append(make("details", { className: "choose" }, make("summary", {}, "Columns"), make("ul", {}, ...boxes)));
    }

    buildTurn() {
      const turn = this.root.querySelector(".turn");
      const button = (text, by) => {
        const element = make("button", { type: "button" }, text);
        element.addEventListener("click", () => { this.page += by; this.draw(); });
        return element;
      };
      this.back = button("← Back", -1);
      this.next = button("Next →", 1);
      this.where = make("span");
      turn.append(this.back, this.next, this.where);
    }

    changed() {
      this.page = 0;
      this.draw();
      const chosen = new URLSearchParams();
      if (this.search.value) chosen.set("search", this.search.value);
      for (const [column, select] of this.selects) if (select.value !== "") chosen.set(column.key, column.levels[select.value]);
      history.replaceState(null, "", chosen.size ? `#rows?${chosen}` : "#rows");
    }

    follow() {
      const [place, query] = location.hash.split("?");
      if (place === "#rows" && query !== undefined) {
        const filters = new URLSearchParams(query);
        this.form.reset();
        this.search.value = filters.get("search") ?? "";
        for (const [column, select] of this.selects) {
          const level = column.levels.indexOf(filters.get(column.key));
          select.value = level < 0 ? "" : level;
        }
        this.page = 0;
        document.getElementById("rows").scrollIntoView();
      }
      this.draw();
    }

    draw() {
      const rows = this.selected;
      const last = Math.max(0, Math.ceil(rows.length / PAGE) - 1);
      this.page = Math.min(Math.max(this.page, 0), last);
      const start = this.page * PAGE;
      const shown = this.columns.filter((column) => column.shown);
      this.root.querySelector("thead").replaceChildren(make("tr", {}, ...shown.map((column) => this.head(column))));
      this.root.querySelector("tbody").replaceChildren(...rows.slice(start, start + PAGE).map((row) => this.line(shown, row)));
      this.root.querySelector(".count").textContent = `${rows.length} of ${this.data.rows} rows`;
      this.where.textContent = `Page ${this.page + 1} of ${last + 1}`;
      this.back.disabled = this.page === 0;
      this.next.disabled = this.page === last;
    }

    head(column) {
      const button = make("button", { type: "button" }, column.title);
      const cell = make("th", { scope: "col", className: column.kind === "number" ? "number" : "" }, button);
      if (this.order?.column === column) cell.setAttribute("aria-sort", this.order.down ? "descending" : "ascending");
      button.addEventListener("click", () => {
        this.order = { column, down: this.order?.column === column && !this.order.down };
        this.page = 0;
        this.draw();
        this.root.querySelectorAll("thead button")[[...cell.parentNode.children].indexOf(cell)]?.focus();
      });
      return cell;
    }

    line(columns, row) {
      return make("tr", {}, ...columns.map((column, k) => {
        const text = this.text(column, row);
        const marked = column.key === "verdict" || column.key === "status" ? `v-${text.replaceAll(" ", "-")}` : "";
        const cell = make(k ? "td" : "th", { className: column.kind === "number" ? "number" : marked, title: text.length > 24 ? text : "" });
        if (!k) cell.scope = "row";
        const page = this.pages?.values[row];
        cell.append(column.key === "image_id" && page ? make("a", { href: `pages/${page}` }, text) : text);
        return cell;
      }));
    }
  }

  document.querySelectorAll("[data-compare]").forEach(compare);
  document.querySelectorAll("[data-walk]").forEach(walk);
  const table = document.querySelector("[data-rows]");
  if (table) new Rows(table, JSON.parse(document.getElementById("data").textContent));
})();
