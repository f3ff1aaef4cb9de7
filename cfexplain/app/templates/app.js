"use strict";
/* Gradio's slider between two pictures follows the mouse alone: here the keyboard moves it, as if it were the mouse. */
(() => {
  const STEP = 0.05;
  const grip = () => document.querySelector('#slider [data-testid="slider"]');
  const area = (handle) => document.querySelector("#slider img")?.getBoundingClientRect() ?? handle.getBoundingClientRect();
  const place = (handle) => {
    const line = handle.querySelector(".inner").getBoundingClientRect();
    return { x: line.left + line.width / 2, y: line.top + line.height / 2 };
  };
  const share = (handle) => {
    const { left, width } = area(handle);
    return width > 0 ? Math.min(1, Math.max(0, (place(handle).x - left) / width)) : 0.5;
  };
  const tell = (handle) => {
    const percent = Math.round(100 * share(handle));
    handle.setAttribute("aria-valuenow", percent);
    handle.setAttribute("aria-valuetext", `${percent} % query, ${100 - percent} % counterfactual`);
  };
  const move = (handle, to) => {
    const { left, width } = area(handle);
    const from = place(handle);
    const fire = (where, type, x) => where.dispatchEvent(
      new MouseEvent(type, { view: window, bubbles: true, cancelable: true, button: 0, clientX: x, clientY: from.y }));
    const goal = left + width * Math.min(1, Math.max(0, to));
    fire(handle, "mousedown", from.x);
    fire(window, "mousemove", goal);
    fire(window, "mouseup", goal);
  };
  const dress = () => {
    const handle = grip();
    if (!handle || handle.tabIndex === 0) return;
    handle.tabIndex = 0;
    handle.setAttribute("role", "slider");
    handle.setAttribute("aria-label", "Before and after");
    handle.setAttribute("aria-valuemin", 0);
    handle.setAttribute("aria-valuemax", 100);
    new MutationObserver(() => tell(handle)).observe(handle, { attributes: true, attributeFilter: ["style"] });
    document.querySelectorAll("#slider img").forEach((image, k) => {
      image.alt = k === 0 ? "The query." : "The counterfactual.";
    });
    tell(handle);
  };
  document.addEventListener("keydown", (event) => {
    const handle = grip();
    if (!handle || event.target !== handle) return;
    const now = share(handle);
    const goals = {
      ArrowLeft: now - STEP, ArrowDown: now - STEP, ArrowRight: now + STEP, ArrowUp: now + STEP,
      PageDown: now - 4 * STEP, PageUp: now + 4 * STEP, Home: 0, End: 1,
    };
    if (!(event.key in goals)) return;
    event.preventDefault();
    move(handle, goals[event.key]);
  });
  new MutationObserver(dress).observe(document, { childList: true, subtree: true });
})();
/* A brush for the region that may change: a canvas over the picture; what is opaque on it is the region. */
(() => {
  const COLOUR = "#16a3b8";
  const board = () => document.querySelector("#painter canvas");
  const chosen = (name) => document.querySelector(`#painter [name="painter-${name}"]:checked`)?.value;
  const radius = (canvas) => canvas.width * document.querySelector('#painter [name="painter-brush"]').value / 100;
  const at = new WeakMap();
  let drawing = false;
  const where = (canvas) => at.get(canvas) ?? { x: canvas.width / 2, y: canvas.height / 2 };
  const show = (canvas) => {
    const brush = canvas.parentElement.querySelector(".brush"), { x, y } = where(canvas);
    const share = (value) => `${100 * value / canvas.width}%`;
    Object.assign(brush.style, { left: share(x), top: share(y), width: share(2 * radius(canvas)) });
  };
  const go = (canvas, x, y, draw) => {
    const clamp = (value, most) => Math.min(most, Math.max(0, value));
    const from = where(canvas), to = { x: clamp(x, canvas.width), y: clamp(y, canvas.height) };
    at.set(canvas, to);
    show(canvas);
    if (!draw) return;
    const pen = canvas.getContext("2d");
    pen.globalCompositeOperation = chosen("tool") === "erase" ? "destination-out" : "source-over";
    pen.strokeStyle = COLOUR;
    pen.lineCap = pen.lineJoin = "round";
    pen.lineWidth = 2 * radius(canvas);
    pen.beginPath();
    pen.moveTo(draw === "dab" ? to.x : from.x, draw === "dab" ? to.y : from.y);
    pen.lineTo(to.x, to.y + 0.01);
    pen.stroke();
  };
  const pointed = (canvas, event) => {
    const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };
  document.addEventListener("pointerdown", (event) => {
    const canvas = board();
    if (!canvas || event.target !== canvas || event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    drawing = true;
    go(canvas, ...pointed(canvas, event), "dab");
  });
  document.addEventListener("pointermove", (event) => {
    const canvas = board();
    if (canvas && event.target === canvas) go(canvas, ...pointed(canvas, event), drawing && "line");
  });
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => { drawing = false; });
  document.addEventListener("keydown", (event) => {
    const canvas = board();
    if (!canvas || event.target !== canvas) return;
    const step = canvas.width / 32, { x, y } = where(canvas);
    const ways = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step], " ": [0, 0] };
    if (!(event.key in ways)) return;
    event.preventDefault();
    const [right, down] = ways[event.key];
    go(canvas, x + right, y + down, event.key === " " ? "dab" : event.shiftKey && "line");
  });
  document.addEventListener("click", (event) => {
    const canvas = board();
    if (canvas && event.target.dataset?.painter === "clear") canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  });
  document.addEventListener("input", (event) => {
    if (event.target.name === "painter-brush" && board()) show(board());
  });
  document.addEventListener("focusin", (event) => { if (event.target === board()) show(event.target); });
  window.cfexplainRegion = () => board()?.toDataURL("image/png") ?? "";
})();
