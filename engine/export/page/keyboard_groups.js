// Button groups that are a single Tab stop each; inside a group, the arrow keys, Home and End move the focus.

function make_one_stop(group) {
  const buttons = () => [...group.querySelectorAll("button")];
  const stop_at = (stop) => buttons().forEach((button) => (button.tabIndex = button === stop ? 0 : -1));
  group.addEventListener("focusin", (event) => stop_at(event.target));
  group.addEventListener("keydown", (event) => {
    const all = buttons();
    const here = all.indexOf(event.target);
    const columns = all.filter((button) => button.offsetTop === all[0].offsetTop).length;
    const sideways = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: all.length - 1 };
    const places = { ...sideways, ArrowUp: here - columns, ArrowDown: here + columns };
    if (!(event.key in places)) return;
    event.preventDefault();
    all[places[event.key]]?.focus();
  });
  const keep_a_stop = () => buttons().some((button) => button.tabIndex === 0) || stop_at(buttons()[0]);
  new MutationObserver(keep_a_stop).observe(group, { childList: true });
}
