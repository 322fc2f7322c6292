// The form of a file to import: says at once that one is too large, and that it is under way.

const form = document.getElementById("import");
const file = document.getElementById("file");

file.addEventListener("change", () => {
  const isTooLarge = file.files[0]?.size > Number(file.dataset.most) * 2 ** 20;
  file.setCustomValidity(isTooLarge ? file.dataset.tooLarge : "");
  file.reportValidity();
});

form.addEventListener("submit", () => {
  document.getElementById("import-status").textContent = form.dataset.busy;
  form.querySelector("button").disabled = true;
});

// Back from another page: it may be sent again.
addEventListener("pageshow", () => {
  document.getElementById("import-status").textContent = "";
  form.querySelector("button").disabled = false;
});
