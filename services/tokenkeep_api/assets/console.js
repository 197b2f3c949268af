// What the console's pages do besides: they bring themselves up to date, and copy. Without it everything else works.
"use strict";

const EVERY_MS = 5000;
const SLOWEST_MS = 60000;
const SHARE = 10; // a page that takes long to answer is asked for less often: for at most a tenth of the time

let wait = EVERY_MS;

function busy(part) {
  return part.contains(document.activeElement) && document.activeElement !== document.body;
}

function replace(part, fresh) {
  if (busy(part)) return false;
  const before = part.querySelectorAll("[data-value]");
  const known = new Map([...before].map((it) => [it.dataset.value, it.textContent]));
  part.replaceChildren(...fresh.childNodes);
  for (const it of part.querySelectorAll("[data-value]")) {
    if (known.has(it.dataset.value) && known.get(it.dataset.value) !== it.textContent) it.classList.add("changed");
  }
  return true;
}

async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "manual" });
  if (answer.type === "opaqueredirect") {
    location.reload();
    return;
  }
  if (!answer.ok) throw new Error(String(answer.status));
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(part.id);
    if (fresh && fresh.innerHTML !== part.innerHTML) replace(part, fresh);
  }
  const said = document.getElementById("said");
  const heard = page.getElementById("said");
  if (said && heard && said.textContent !== heard.textContent) said.textContent = heard.textContent;
}

async function goOn() {
  const began = performance.now();
  try {
    await refresh();
    wait = Math.min(Math.max(EVERY_MS, (performance.now() - began) * SHARE), SLOWEST_MS);
  } catch {
    wait = Math.min(wait * 2, SLOWEST_MS);
  }
  setTimeout(goOn, wait);
}

if (document.querySelector("[data-live]")) setTimeout(goOn, wait);

for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).value);
    button.textContent = "Copied";
  });
}
