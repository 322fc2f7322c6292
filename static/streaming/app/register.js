// Has the offline page kept by the browser, when the page has nothing better to do; and no longer
// where that is switched off.

const { worker } = document.querySelector("link[rel=manifest]").dataset;

async function keep() {
  try {
    if (worker) await navigator.serviceWorker.register(worker, { scope: "/" });
    else for (const one of await navigator.serviceWorker.getRegistrations()) await one.update();
  } catch {
    // Not allowed here, or the server is away: there is no offline page.
  }
}

// There is none on plain HTTP.
if (navigator.serviceWorker) {
  const soon = globalThis.requestIdleCallback ?? ((act) => setTimeout(act, 1_000));
  addEventListener("load", () => soon(keep));
}
