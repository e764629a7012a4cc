// What must hold in every browser, on the shipped run's page as it was loaded, by what a person sees and does alone.
// test_page.py runs these checks in Chromium, tests/tools/browsers.py in Firefox and WebKit.
(() => {
  const at = (id) => document.getElementById(id);
  const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
  const text = (id) => at(id).textContent;
  const message = (words) => until(() => text("picture-status").includes(words), words);
  const pixels = (canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const distance = (a, b) => a.reduce((sum, value, i) => sum + Math.abs(value - b[i]), 0) / a.length;
  const cell = (label) => pixels(at("row").children[label].firstChild);
  const stops = (selector) => [...document.querySelectorAll(selector)].filter((node) => node.tabIndex === 0);
  const SEVEN = [[0.3, 0.25], [0.66, 0.25], [0.55, 0.5], [0.45, 0.8]];

  function assert(truth, what) {
    if (!truth) throw new Error(what);
  }

  async function until(condition, what) {
    for (let passed = 0; !condition(); passed += 20) {
      assert(passed < 20_000, `never: ${what}`);
      await wait(20);
    }
  }

  const drawn = () => until(() => at("samples").children.length === 30, "all is drawn").then(() => wait(300));

  // A finger on the drawing area, at a place from 0 to 1 in both directions.
  function touch(type, [x, y], pointerId = 1) {
    const box = at("canvas").getBoundingClientRect();
    const place = { clientX: box.left + x * box.width, clientY: box.top + y * box.height };
    at("canvas").setPointerCapture = () => {}; // which this finger, not being real, cannot have
    at("canvas").dispatchEvent(new PointerEvent(type, { ...place, pointerId, bubbles: true, cancelable: true }));
  }

  async function draw_seven() {
    touch("pointerdown", SEVEN[0]);
    for (const place of SEVEN) touch("pointermove", place);
    touch("pointerup", SEVEN.at(-1));
    await until(() => text("verdict").startsWith("7"), "a 7 is read");
  }

  // A picture of a 7, or of nothing, as a file's bytes.
  async function file_of(type, size = [280, 280], points = SEVEN) {
    const sheet = Object.assign(document.createElement("canvas"), { width: size[0], height: size[1] });
    const pen = sheet.getContext("2d");
    pen.fillStyle = "white";
    pen.fillRect(0, 0, ...size);
    pen.lineWidth = size[0] / 14;
    points.forEach(([x, y]) => pen.lineTo(x * size[0], y * size[1]));
    pen.stroke();
    return new Promise((done) => sheet.toBlob((blob) => blob.arrayBuffer().then(done), type, 0.9));
  }

  function drop(bytes, type = "image/png", pasted = false) {
    const files = new DataTransfer();
    files.items.add(new File([bytes], "<img src=x onerror=hacked=1>", { type }));
    const event = new Event(pasted ? "paste" : "drop", { bubbles: true, cancelable: true });
    document.body.dispatchEvent(Object.assign(event, { [pasted ? "clipboardData" : "dataTransfer"]: files }));
  }

  return {
    async "the page agrees with TensorFlow, and drawing comes first"() {
      assert(text("self-test").includes("passed"), text("self-test"));
      assert(document.documentElement.scrollWidth <= innerWidth, "something is wider than the window");
      const [pad, row] = ["canvas", "row"].map((id) => at(id).getBoundingClientRect());
      assert(pad.top >= 0 && pad.bottom <= 0.75 * innerHeight && pad.bottom <= row.top, "the pad is not first");
      assert(row.bottom <= innerHeight, "the row is below the fold");
      assert(pad.width <= 0.65 * innerWidth, "the pad traps the thumb");
    },

    async "one finger draws, and a palm beside it does not"() {
      await drawn();
      const before = cell(3);
      touch("pointerdown", SEVEN[0]);
      touch("pointerdown", [0.1, 0.9], 2);
      SEVEN.forEach((place, i) => {
        touch("pointermove", place);
        touch("pointermove", [0.1 + i / 20, 0.9], 2);
      });
      touch("pointerup", [0.2, 0.9], 2);
      touch("pointerup", SEVEN.at(-1));
      await until(() => text("verdict").startsWith("7"), "a 7 is read");
      assert(text("status").startsWith("your drawing, taken as 7"), text("status"));
      await until(() => distance(cell(3), before) > 1, "the row is in this hand");
      const [width, height] = [at("canvas").width, at("canvas").height];
      const corner = at("canvas").getContext("2d").getImageData(0, 0.8 * height, width / 4, height / 5).data;
      assert(corner.every((value) => value === 255), "the palm has drawn");
    },

    async "a message stands in sight beside what was touched"() {
      drop(new Uint8Array(9));
      assert(text("picture-status").startsWith("Reading"), "no sign of life");
      await message("cannot read the file as a picture");
      drop(new Uint8Array(9), "text/plain");
      await message("no picture");
      at("clear").scrollIntoView();
      const box = at("picture-status").getBoundingClientRect();
      const touched = at("clear").getBoundingClientRect();
      assert(box.bottom <= innerHeight && box.top - touched.bottom < 250, "it is far from the buttons");
      const seen = document.elementFromPoint(box.left + 9, (box.top + box.bottom) / 2);
      assert(seen === at("picture-status"), "something lies over it");
    },

    async "what is read belongs to the picture that is shown"() {
      await draw_seven();
      drop(new Uint8Array(9));
      await message("cannot read");
      assert(!at("answer").hidden, "the drawing is still there, and so is what it was read as");
      drop(await file_of("image/png", [280, 280], []));
      await message("no digit");
      assert(at("answer").hidden && at("reading").hidden, "the old reading stays");
      await draw_seven();
      assert(text("picture-status") === "" && !at("answer").hidden, "the message stays");
      at("clear").click();
      assert(at("answer").hidden && at("reading").hidden, "the reading of what was cleared stays");
    },

    async "a picture that breaks off is refused"() {
      for (const type of ["image/png", "image/jpeg", "image/webp"]) {
        const bytes = await file_of(type);
        for (const share of [0.4, 0.8, 0.99]) {
          at("clear").click();
          drop(bytes.slice(0, share * bytes.byteLength), type);
          await message("breaks off");
          assert(at("answer").hidden, "it is read");
        }
        drop(bytes, type, type === "image/jpeg");
        await until(() => text("verdict").startsWith("7"), `a whole ${type} is read`);
      }
    },

    async "a photo of 64 million pixels is read, and the last of several pictures counts"() {
      const large = await file_of("image/jpeg", [9248, 6936]);
      const small = await file_of("image/png", [280, 280], [[0.5, 0.2], [0.5, 0.8]]);
      drop(large, "image/jpeg");
      await until(() => text("verdict").startsWith("7"), "it is read");
      drop(large, "image/jpeg");
      drop(small);
      await wait(3000);
      assert(text("verdict").startsWith("1"), text("verdict"));
      assert(document.images.length === 0, "a file's name became a part of the page");
    },

    async "a group of buttons is one stop, and the arrow keys move inside"() {
      await draw_seven();
      await drawn();
      for (const id of ["row", "bars", "samples"]) {
        const buttons = [...at(id).querySelectorAll("button")];
        assert(stops(`#${id} button`).length === 1 && buttons.length >= 10, `${id}: ${stops(`#${id} button`).length} stops`);
        stops(`#${id} button`)[0].focus();
        const last = buttons.length - 1;
        for (const [key, place] of [["End", last], ["Home", 0], ["ArrowRight", 1], ["ArrowLeft", 0]]) {
          document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
          assert(document.activeElement === buttons[place] && stops(`#${id} button`)[0] === buttons[place], `${id}: ${key}`);
        }
      }
      const all = stops("a[href], button, input, select").filter((node) => node.getClientRects().length);
      assert(all.indexOf(at("walk")) < 25, `the walk is ${all.indexOf(at("walk"))} stops away`);
    },

    async "the walk starts from the style in use"() {
      await drawn();
      at("random").click();
      await wait(500);
      const here = cell(0);
      assert(distance(pixels(at("walk-a")), here) === 0, "the walk starts elsewhere");
      at("walk").value = 0.002;
      at("walk").dispatchEvent(new Event("input"));
      await wait(300);
      assert(distance(cell(0), here) < 2, "the first step is a leap");
      at("play").click();
      await until(() => at("walk").valueAsNumber > 0.05, "it plays");
      at("play").click();
      const paused = text("play") === "Play" && at("walk").value;
      await wait(100);
      assert(at("walk").value === paused, "it does not pause");
      at("random").click();
      assert(at("walk").value === "0", "a new style does not begin a new walk");
    },

    async "a damaged link is said, and far values are cut"() {
      const twenty = (value) => Array(20).fill(value).join(",");
      const bad = ["label=5&prior=label", `label=99&style=${twenty(1)}`, "style=1,2", `style=${twenty("x")}`, `style=${twenty("")}`];
      for (const hash of bad) {
        at("status").textContent = "";
        location.hash = hash;
        await until(() => text("status").includes("damaged"), hash);
      }
      location.hash = `label=3&style=${twenty(-100)}`;
      await until(() => text("status").includes("cut to ±7"), "cut");
      assert(text("samples-title") === "Samples of 3", "the label of the link");
      location.hash = "self-test"; // a place on the page
      await wait(100);
      assert(text("status").includes("cut"), text("status"));
    },
  };
})();
