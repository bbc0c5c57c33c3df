// Reads a document as data: its elements and texts in order, and which of them selectors match.
//
// Runs in an isolated world, whose prototypes the page cannot replace. The page can still name elements so that they
// hide properties of document and of forms (<img name="body">, <input name="childNodes">), so every property of a node
// is read through the prototype that owns it.
//
// request: { most: {nodes, characters, attribute, matches, depth}, queries: [{name, selector, within, most}] }
//   a query's selector is CSS, or XPath after "xpath=", "//" or "("; `within` names an earlier query, whose every match
//   is searched (":scope" or null as selector is the match itself).
// answer (JSON text): { url, base, title, nodes, matches, cut, errors }
//   nodes: [parent, text] for a text, [parent, tag, flags, attributes] for an element; parent is an index, -1 at the top.
//   flags: 1 not visible, 2 a block (its text stands on lines of its own), 4 a cell of a table, 8 a shadow root's host.
//   matches: for each query, a list (one entry for each match of `within`, or a single one) of lists of node indexes.
//   cut: what was left out because of a limit: "nodes", "characters", "matches", "depth".
(request) => {
  const getter = (owner, name) => {
    const get = Object.getOwnPropertyDescriptor(owner.prototype, name).get;
    return (node) => get.call(node);
  };
  const firstChild = getter(Node, "firstChild");
  const nextSibling = getter(Node, "nextSibling");
  const parentNode = getter(Node, "parentNode");
  const nodeType = getter(Node, "nodeType");
  const data = getter(CharacterData, "data");
  const localName = getter(Element, "localName");
  const attributesOf = getter(Element, "attributes");
  const shadowRoot = getter(Element, "shadowRoot");
  const ownerDocument = getter(Node, "ownerDocument");
  const baseURI = getter(Node, "baseURI");
  const documentElement = getter(Document, "documentElement");
  const documentURI = getter(Document, "documentURI");
  const titleOf = getter(Document, "title");
  const { querySelectorAll, matches: matchesOf } = Element.prototype;
  const most = request.most;
  const cut = new Set();
  const errors = {};

  const nodes = [];
  const indexes = new Map();
  const roots = [];
  let characters = 0;

  // Elements whose content nobody reads, with the attributes and texts that still say something.
  const SKIPPED = new Set(["style", "noscript", "template", "svg", "canvas", "object", "embed", "video", "audio"]);
  const KEPT_INPUTS = new Set(["checkbox", "radio"]);

  const valueOf = (node, tag) => {
    if (tag === "textarea") return getter(HTMLTextAreaElement, "value")(node);
    if (tag === "select") {
      const chosen = getter(HTMLSelectElement, "selectedOptions")(node);
      return chosen.length ? getter(HTMLOptionElement, "text")(chosen[0]) : "";
    }
    const type = getter(HTMLInputElement, "type")(node);
    if (type === "password" || type === "file") return null;
    if (KEPT_INPUTS.has(type)) return getter(HTMLInputElement, "checked")(node) ? "true" : "false";
    return getter(HTMLInputElement, "value")(node);
  };

  const attributes = (node, tag) => {
    const found = {};
    const list = attributesOf(node);
    const count = Math.min(list.length, 60);
    for (let i = 0; i < count; i++) {
      const { name, value } = list[i];
      if (name.startsWith("on") || name === "style" || name.length > 100) continue;
      if (tag === "input" && name === "value") continue;
      found[name] = value.length > most.attribute ? value.slice(0, most.attribute) : value;
      characters += name.length + found[name].length;
    }
    if (node instanceof HTMLInputElement || node instanceof HTMLTextAreaElement || node instanceof HTMLSelectElement) {
      const value = valueOf(node, tag);
      if (value !== null) found["value"] = String(value).slice(0, most.attribute);
    }
    return found;
  };

  // What a closed <details> holds is displayed nowhere, though its style does not say so.
  const folded = (node, tag) => {
    const around = parentNode(node);
    return tag !== "summary" && around instanceof HTMLDetailsElement && !Element.prototype.hasAttribute.call(around, "open");
  };

  const isData = (node, tag) =>
    tag === "script" && /^\s*application\/ld\+json/i.test(Element.prototype.getAttribute.call(node, "type") || "");

  const flagsOf = (node, hidden) => {
    if (hidden) return 1;
    const style = getComputedStyle(node);
    const display = style.display;
    if (display === "none") return 1;
    let flags = style.visibility === "visible" ? 0 : 1;
    if (display.startsWith("table-cell")) flags |= 4;
    else if (!display.startsWith("inline") && display !== "contents") flags |= 2;
    return flags;
  };

  // Depth first without recursion: a page may nest deeper than the stack holds.
  const walk = (top) => {
    const stack = [[top, -1, false, 0]];
    while (stack.length) {
      const [node, parent, hidden, depth] = stack.pop();
      const following = nextSibling(node);
      if (following && node !== top) stack.push([following, parent, hidden, depth]);
      if (nodes.length >= most.nodes) return void cut.add("nodes");
      if (characters >= most.characters) return void cut.add("characters");
      const type = nodeType(node);
      if (type === 3 || type === 4) {
        let text = data(node);
        if (text.length > most.characters - characters) {
          cut.add("characters");
          text = text.slice(0, most.characters - characters);
        }
        characters += text.length;
        if (parent >= 0) nodes.push([parent, text]);
        continue;
      }
      if (type !== 1 && type !== 11) continue;
      const index = nodes.length;
      if (type === 11) {
        nodes.push([parent, "#shadow", hidden ? 1 : 0, {}]);
      } else {
        const tag = localName(node);
        if (tag === "script" && !isData(node, tag)) continue;
        if (SKIPPED.has(tag)) {
          nodes.push([parent, tag, 1, attributes(node, tag)]);
          indexes.set(node, index);
          continue;
        }
        const flags = tag === "script" || tag === "head" ? 1 : flagsOf(node, hidden || folded(node, tag));
        nodes.push([parent, tag, flags, attributes(node, tag)]);
        indexes.set(node, index);
      }
      if (depth >= most.depth) { cut.add("depth"); continue; }
      // What is only invisible (visibility: hidden) may have visible children; what is not displayed has none.
      const gone = hidden || (type === 1 && (folded(node, "") || (nodes[index][2] & 1 && getComputedStyle(node).display === "none")));
      const child = firstChild(node);
      if (child) stack.push([child, index, gone, depth + 1]);
      const shadow = type === 1 ? shadowRoot(node) : null;
      if (shadow) {
        nodes[index][2] |= 8;
        roots.push(shadow);
        stack.push([shadow, index, gone, depth + 1]);
      }
    }
  };

  const isXPath = (selector) => /^(xpath=|\(|\.?\/\/)/.test(selector);

  const byXPath = (selector, within) => {
    const path = selector.replace(/^xpath=/, "");
    const relative = within === topElement ? path : path.replace(/^\/\//, ".//").replace(/^\(\/\//, "(.//");
    const result = Document.prototype.evaluate.call(
      ownerDocument(within), relative, within, null, XPathResult.ORDERED_NODE_SNAPSHOT_TYPE, null);
    const found = [];
    const length = Math.min(result.snapshotLength, most.matches + 1);
    for (let i = 0; i < length; i++) found.push(result.snapshotItem(i));
    return found;
  };

  const select = (selector, within) => {
    if (isXPath(selector)) return byXPath(selector, within);
    const found = Array.from(querySelectorAll.call(within, selector));
    if (within === topElement && matchesOf.call(within, selector)) found.unshift(within);
    for (const root of roots) {
      const host = getter(ShadowRoot, "host")(root);
      if (within === topElement || Node.prototype.contains.call(within, host)) {
        found.push(...Array.from(DocumentFragment.prototype.querySelectorAll.call(root, selector)).slice(0, most.matches));
      }
    }
    return found;
  };

  const topElement = documentElement(document);
  const answer = { url: documentURI(document), base: baseURI(document), title: titleOf(document).slice(0, 2000) };
  const matches = {};
  if (topElement) {
    walk(topElement);
    const matched = {};
    let left = most.matches;
    for (const query of request.queries) {
      const starts = query.within === null ? [topElement] : matched[query.within].flat();
      const found = [];
      try {
        for (const start of starts) {
          const all = query.selector === null || query.selector === ":scope" ? [start] : select(query.selector, start);
          const known = all.filter((node) => indexes.has(node));
          const room = Math.min(left, query.most);
          if (known.length > room) cut.add("matches");
          found.push(known.slice(0, room));
          left -= Math.min(known.length, room);
        }
      } catch (error) {
        errors[query.name] = error instanceof DOMException ? error.message.slice(0, 300) : "cannot be evaluated";
      }
      matched[query.name] = found;
      matches[query.name] = found.map((list) => list.map((node) => indexes.get(node)));
    }
  }
  return JSON.stringify({ ...answer, nodes, matches, errors, cut: Array.from(cut) });
}
