// The linter of the page's scripts: npx eslint@10 -c tests/tools/eslint.config.mjs engine/export/page tests/page
// The scripts become one (engine/export/page/build.py), so what one declares at its top level the others may use.
import { readdirSync, readFileSync } from "node:fs";

const FOLDER = "engine/export/page";
const BROWSER =
  "DataTransfer Event File ImageData KeyboardEvent MutationObserver OffscreenCanvas " +
  "PointerEvent URLSearchParams addEventListener atob createImageBitmap document innerHeight innerWidth location " +
  "matchMedia navigator performance requestAnimationFrame setTimeout";
const DECLARATION = /^(?:const|let) \[?\{? ?([\w, ]+)|^(?:async )?(?:function\*?|class) (\w+)/gm;
const scripts = readdirSync(FOLDER).filter((name) => name.endsWith(".js"));
const declared = scripts.flatMap((name) => [...readFileSync(`${FOLDER}/${name}`, "utf8").matchAll(DECLARATION)]);
const shared = declared.flatMap((match) => (match[1] ?? match[2]).split(/, /)).map((name) => name.trim());
const globals = Object.fromEntries([...BROWSER.split(" "), ...shared].map((name) => [name, "readonly"]));

export default [
  {
    files: ["**/*.js"],
    languageOptions: { sourceType: "script", ecmaVersion: 2024, globals },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "array-callback-return": "error",
      curly: ["error", "multi-line"],
      eqeqeq: ["error", "always"],
      "max-depth": ["error", 6],
      "no-console": "error",
      "no-constant-condition": ["error", { checkLoops: false }],
      "no-dupe-keys": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-shadow": "error",
      "no-undef": "error",
      "no-unreachable": "error",
      "no-unused-vars": ["error", { vars: "local", varsIgnorePattern: "^_", argsIgnorePattern: "^_" }],
      "no-use-before-define": ["error", { functions: false, classes: false, variables: false }],
      "no-useless-assignment": "error",
      "no-var": "error",
      "prefer-const": ["error", { destructuring: "all" }],
      "require-atomic-updates": "error",
      strict: "off",
    },
  },
];
