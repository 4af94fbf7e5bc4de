"use strict";

const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

document.getElementById("theme").addEventListener("click", () => {
  const now = root.dataset.theme ?? (dark.matches ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
});

for (const button of document.querySelectorAll(".reveal")) {
  const content = button.parentElement.querySelector(".content");
  const closed = button.textContent;
  button.addEventListener("click", () => {
    const open = button.parentElement.classList.toggle("open");
    content.inert = !open;
    button.setAttribute("aria-expanded", String(open));
    button.textContent = open ? "Hide" : closed;
  });
}
