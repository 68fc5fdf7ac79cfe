// Replaces the page's content while its run is running. The address of the updates is in <main>.
"use strict";
const main = document.querySelector("main");
const notice = document.querySelector("#notice");
let seen = main.dataset.version;

async function update() {
  let wait = 1000;
  if (!document.hidden) {
    const answer = await fetch(`${main.dataset.updates}?seen=${encodeURIComponent(seen)}`);
    if (!answer.ok) throw new Error(answer.statusText);
    const news = await answer.json();
    if (news.html !== null) {
      main.innerHTML = news.html; // escaped by the server; a policy forbids scripts in it
      seen = news.version;
      await drawTimelines(main);
    }
    if (news.final) return;
    wait = news.wait_ms;
  }
  setTimeout(watch, wait);
}

function watch() {
  update().catch(() => {
    notice.textContent = "The dashboard has ended: this page is not updated any more.";
    notice.hidden = false;
  });
}

if (main.dataset.final !== "true") setTimeout(watch, 1000);
