import "./style.css";
import { browserFault } from "./browser-check.js";
import { element } from "./dom.js";
import { Page } from "./page.js";
import { TabPeer } from "./tab-peer.js";

const fault = browserFault();
if (fault === undefined) {
  const page = new Page();
  const peer = TabPeer.fromLink(location.hash);
  if (peer !== undefined) void page.waitForTab(peer);
} else {
  const text = element("div", { className: "card unfit", attributes: { role: "alert" } }, element("p", {}, fault));
  document.querySelector("main")?.replaceChildren(text);
}
document.documentElement.dataset["ready"] = "true";
