// What Material leaves out for those who use a keyboard or listen to a page: the dialog of the search gets its name,
// the buttons that copy code are no landmarks, and a table that scrolls can be scrolled by keys.
function mend() {
  document.querySelector(".md-search[role=dialog]")?.setAttribute("aria-label", "Search");
  for (const nav of document.querySelectorAll("nav.md-code__nav")) nav.setAttribute("role", "none");
  for (const wide of document.querySelectorAll(".md-typeset__scrollwrap, .notebook-output")) {
    if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
  }
}
new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
mend();
