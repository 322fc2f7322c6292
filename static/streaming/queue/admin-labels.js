// The admin's fields that search while somebody types have no name that is read out: theirs is the
// label of the field whose place they take.

function name() {
  for (const select of document.querySelectorAll("select.admin-autocomplete")) {
    const label = select.labels[0];
    const box = select.nextElementSibling;
    if (!label || !box) continue;
    label.id ||= `${select.id}-label`;
    for (const element of box.querySelectorAll("[role=combobox], [role=textbox]")) {
      const value = element.matches("[role=combobox]") ? ` ${element.getAttribute("aria-labelledby") ?? ""}` : "";
      element.setAttribute("aria-labelledby", `${label.id}${value}`.trim());
    }
  }
}

// After the admin has made its own of them, which it does a moment after the document is there.
addEventListener("load", () => django.jQuery(name));
