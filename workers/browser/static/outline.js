// What of a frame a person could name: each element that can be acted on or read, with its role, its names and where it
// stands. Called with {most, reading}; returns {elements, handles}: plain data, and the elements themselves in the
// same order. Looks through open shadow roots; leaves out what nobody sees.
({ most, reading }) => {
  const LONG = 160, AROUND = 400;
  const squeeze = (text, length = LONG) => (text || "").replace(/\s+/g, " ").trim().slice(0, length);
  const ROLES = {
    button: "button", summary: "button", textarea: "textbox", option: "option", dialog: "dialog", img: "img",
    h1: "heading", h2: "heading", h3: "heading", h4: "heading", h5: "heading", h6: "heading", td: "cell",
    th: "columnheader", p: "paragraph", li: "listitem", dd: "definition", dt: "term", time: "time", output: "status",
  };
  const INPUTS = {
    button: "button", submit: "button", reset: "button", image: "button", checkbox: "checkbox", radio: "radio",
    search: "searchbox", number: "spinbutton", range: "slider", file: "file", date: "date", time: "date",
    "datetime-local": "date", month: "date", week: "date", color: "textbox",
  };
  const ACTIVE = new Set([
    "button", "link", "textbox", "searchbox", "spinbutton", "slider", "combobox", "listbox", "checkbox", "radio",
    "switch", "tab", "menuitem", "menuitemcheckbox", "menuitemradio", "option", "treeitem", "gridcell", "file", "date",
    "clickable",
  ]);
  const READABLE = new Set([
    "heading", "cell", "columnheader", "rowheader", "paragraph", "definition", "term", "img", "status", "alert", "time",
    "text", "listitem",
  ]);
  const pointer = (el) => getComputedStyle(el).cursor === "pointer";
  const roleOf = (el) => {
    const said = (el.getAttribute("role") || "").trim().split(/\s+/)[0];
    if (said && said !== "presentation" && said !== "none" && said !== "generic") return said;
    const tag = el.localName;
    if (tag === "input") return el.type === "hidden" ? "" : el.list ? "combobox" : INPUTS[el.type] || "textbox";
    if (tag === "select") return el.multiple || el.size > 1 ? "listbox" : "combobox";
    if (tag === "a" || tag === "area") return el.hasAttribute("href") ? "link" : el.onclick ? "clickable" : "";
    if (el.isContentEditable && !(el.parentElement && el.parentElement.isContentEditable)) return "textbox";
    if (ROLES[tag] && !(ROLES[tag] === "listitem" && pointer(el))) return ROLES[tag];
    if (el.hasAttribute("onclick") || el.onclick || (el.hasAttribute("tabindex") && el.tabIndex >= 0)) return "clickable";
    // A listener cannot be seen, the pointer that goes with it can.
    if (tag !== "label" && pointer(el) && !(el.parentElement && pointer(el.parentElement))) return "clickable";
    if (reading && el.childElementCount === 0 && el.textContent.trim()) return "text";
    return "";
  };
  const seen = (el) => {
    if (el.closest("[aria-hidden=true], [inert]")) return false;
    if (typeof el.checkVisibility === "function" && !el.checkVisibility({ visibilityProperty: true })) return false;
    const box = el.getBoundingClientRect();
    // The real box of a styled checkbox or file field is often hidden below a label that stands for it.
    return (box.width > 0 && box.height > 0) || (el.labels && el.labels.length > 0) || el.localName === "option";
  };
  const byIds = (el, name) =>
    (el.getAttribute(name) || "").split(/\s+/).filter(Boolean)
      .map((id) => el.getRootNode().getElementById && el.getRootNode().getElementById(id))
      .filter(Boolean).map((found) => squeeze(found.textContent)).join(" ");
  const wordsIn = (el, plain = false) => {
    // Text as a reader meets it: pictures by their description, fields not at all, with ``plain`` buttons neither.
    let text = "";
    for (const node of el.childNodes) {
      if (text.length > (plain ? 4 * AROUND : 2 * LONG)) break;
      if (node.nodeType === 3) text += node.data;
      else if (node.nodeType === 1) {
        const tag = node.localName;
        if (["script", "style", "select", "textarea", "noscript", "template"].includes(tag)) continue;
        if (node.getAttribute("aria-hidden") === "true") continue;
        if (plain && (tag === "button" || ACTIVE.has(node.getAttribute("role")))) continue;
        const named = node.getAttribute("aria-label") || (tag === "img" && node.getAttribute("alt"));
        const inner = named || (tag === "svg" ? (node.querySelector("title") || {}).textContent || "" : wordsIn(node, plain));
        const inline = ["span", "b", "i", "em", "strong", "small", "mark", "code", "sup", "sub"].includes(tag);
        text += inline ? inner : ` ${inner} `;
      }
    }
    return text;
  };
  const labelOf = (el) => squeeze(el.labels ? [...el.labels].map((one) => wordsIn(one)).join(" ") : "");
  const nameOf = (el, role, label) => {
    const said = byIds(el, "aria-labelledby") || squeeze(el.getAttribute("aria-label"));
    if (said) return said;
    if (label) return label;
    if (el.localName === "input" && ["submit", "button", "reset"].includes(el.type))
      return squeeze(el.value || (el.type === "submit" ? "Submit" : el.type === "reset" ? "Reset" : ""));
    if (el.localName === "img" || el.type === "image") return squeeze(el.getAttribute("alt") || el.title);
    if (["textbox", "searchbox", "combobox", "listbox", "spinbutton", "slider", "date", "file"].includes(role))
      return squeeze(el.title || el.getAttribute("placeholder"));
    return squeeze(wordsIn(el)) || squeeze(el.title);
  };
  const landmark = (el) => {
    const tag = el.localName, role = el.getAttribute("role") || "";
    const said = byIds(el, "aria-labelledby") || squeeze(el.getAttribute("aria-label"));
    if (tag === "fieldset") return said || squeeze((el.querySelector(":scope > legend") || {}).textContent);
    if (tag === "table") return said || squeeze((el.caption || {}).textContent);
    if (tag === "header" || role === "banner") return `${said} header`.trim();
    if (tag === "footer" || role === "contentinfo") return `${said} footer`.trim();
    if (tag === "aside" || role === "complementary") return `${said} sidebar`.trim();
    if (tag === "nav" || role === "navigation") return `${said} navigation`.trim();
    if (tag === "dialog" || role === "dialog" || role === "alertdialog") return `${said} dialog`.trim();
    if (said && (["section", "form", "main", "article", "ul", "ol"].includes(tag) || role)) return said;
    return "";
  };
  const selectorOf = (el) => {
    const parts = [];
    for (let at = el; at && at.nodeType === 1; ) {
      const root = at.getRootNode();
      if (at.id && root.querySelectorAll(`#${CSS.escape(at.id)}`).length === 1) {
        parts.unshift(`#${CSS.escape(at.id)}`);
        if (root === document) break;
      } else {
        const next = (one, way) => {
          do one = one[way];
          while (one && one.localName !== at.localName);
          return one;
        };
        let place = 1;
        for (let one = next(at, "previousElementSibling"); one; one = next(one, "previousElementSibling")) place++;
        const alone = place === 1 && !next(at, "nextElementSibling");
        parts.unshift(alone ? at.localName : `${at.localName}:nth-of-type(${place})`);
      }
      // A part that another root holds is found by any descendant: selectors of the driver look through shadow roots.
      at = at.parentElement || (root instanceof ShadowRoot ? root.host : null);
    }
    return parts.join(" > ");
  };
  const found = [], headings = [];
  const modal = [...document.querySelectorAll("dialog[open], [aria-modal=true]")].filter(
    (el) => seen(el) && (el.getAttribute("aria-modal") === "true" || el.matches(":modal")),
  ).pop();
  const consider = (el) => {
    const role = roleOf(el);
    if (role === "heading") {
      const level = Number(el.getAttribute("aria-level") || el.localName[1]) || 2;
      while (headings.length && headings[headings.length - 1].level >= level) headings.pop();
      if (seen(el)) headings.push({ level, text: squeeze(el.textContent) });
    }
    const active = ACTIVE.has(role);
    if (!(active || (reading && READABLE.has(role))) || !seen(el)) return;
    if (role === "option" && el.localName === "option") return;
    const label = labelOf(el), name = nameOf(el, role, label);
    // A pointer over a word inside of a button is no second thing to click.
    if (role === "clickable" && (!name || el.querySelector("a[href], button, input, select, textarea"))) return;
    found.push({ el, role, name, label, headings: headings.map((item) => item.text) });
  };
  const walk = (node) => {
    for (const el of node.children) {
      if (found.length >= most) return;
      if (["script", "style", "template", "noscript", "head"].includes(el.localName)) continue;
      consider(el);
      if (el.localName === "svg") continue;
      if (el.shadowRoot) walk(el.shadowRoot);
      walk(el);
    }
  };
  walk(document);
  const within = modal ? found.filter((item) => modal.contains(item.el)) : found;
  const key = (item) => `${item.role}|${item.name}`;
  const groups = new Map();
  for (const item of within) groups.set(key(item), [...(groups.get(key(item)) || []), item]);
  const sizes = new Map();
  const sizeOf = (el) => {
    if (!sizes.has(el)) sizes.set(el, el.textContent.length);
    return sizes.get(el);
  };
  const around = (item) => {
    // The words of the largest box in which this is the only one of its kind: a row, a card, a fieldset.
    // In the order of the page a box that holds any other of them holds a neighbour too.
    const alike = groups.get(key(item)), place = alike.indexOf(item);
    const twins = [alike[place - 1], alike[place + 1]].filter((other) => other && !item.el.contains(other.el));
    let text = "";
    let at = item.el.parentElement;
    for (let up = 0; at && at !== document.body && up < 8; up++, at = at.parentElement) {
      if (sizeOf(at) > 4 * AROUND || twins.some((other) => at.contains(other.el))) break;
      const words = squeeze(wordsIn(at, true), 4 * AROUND);
      if (words.length > AROUND) break;
      text = words;
    }
    return text;
  };
  const regions = (item) => {
    const names = [];
    for (let at = item.el.parentElement; at; at = at.parentElement) {
      const name = landmark(at);
      if (name) names.unshift(name);
    }
    return names;
  };
  const elements = within.map((item) => {
    const el = item.el, box = el.getBoundingClientRect();
    return {
      role: item.role,
      name: item.name,
      label: item.label,
      text: el.localName === "select" ? "" : squeeze(wordsIn(el)),
      placeholder: squeeze(el.getAttribute("placeholder")),
      title: squeeze(el.getAttribute("title")),
      test_id: squeeze(el.getAttribute("data-testid")),
      // What its author calls it: the last thing to go by.
      inner_name: squeeze(`${el.id || ""} ${el.getAttribute("name") || ""}`),
      value: el.type === "password" ? "" : squeeze(typeof el.value === "string" ? el.value : ""),
      tag: el.localName,
      type: squeeze(el.getAttribute("type")).toLowerCase(),
      href: el.localName === "a" ? squeeze(el.href, 500) : "",
      checked: el.checked === true || el.getAttribute("aria-checked") === "true" || el.getAttribute("aria-pressed") === "true",
      disabled: el.disabled === true || el.getAttribute("aria-disabled") === "true",
      readonly: el.readOnly === true,
      options: el.localName === "select" ? [...el.options].slice(0, 300).map((option) => squeeze(option.label || option.text, 80)) : [],
      regions: regions(item),
      headings: item.headings,
      around: around(item),
      selector: selectorOf(el),
      in_view: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    };
  });
  return { elements, handles: within.map((item) => item.el) };
}
