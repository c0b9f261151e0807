// SPDX-License-Identifier: MIT
// Looks at a page of `cargo xtask report` in a real browser, as somebody with a conflict would.
//
//   node look.mjs PAGE.html FOLDER
//
// Prints one line per check, leaves screenshots in FOLDER, and exits with 1 if a check fails.
// CHROMIUM names the browser (default: /usr/bin/chromium).
import assert from "node:assert/strict";
import { readFile, mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [page_file, folder] = process.argv.slice(2);
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const url = pathToFileURL(path.resolve(page_file)).href;
await mkdir(folder, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

const desktop = { viewport: { width: 1280, height: 900 }, colorScheme: "light" };
const dark = { ...desktop, colorScheme: "dark" };
const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, colorScheme: "light" };

let failed = 0;

/** Opens the page anew, and fails if the browser complains or asks for anything but the page. */
async function check(title, options, look) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && complaints.push(m.text()));
  page.on("pageerror", (e) => complaints.push(String(e)));
  page.on("request", (r) => {
    const asked = r.url().split("#")[0];
    if (asked !== url && !asked.startsWith("data:")) complaints.push(`asked for ${asked}`);
  });
  try {
    await page.goto(url);
    await look(page);
    assert.deepEqual(complaints, []);
    console.log(`ok   ${title}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${title}: ${error.message}`);
  } finally {
    await context.close();
  }
}

const picture = (page, name, whole = false) =>
  page.screenshot({ path: path.join(folder, `${name}.png`), fullPage: whole });

/** Everything unfolded, so that all of it is looked at. */
const unfold = (page) => page.evaluate(() => {
  for (const e of document.querySelectorAll("details")) e.open = true;
  document.querySelector("#all")?.click();
});

async function accessible(page) {
  // By the debugger's protocol, as the page's own policy refuses scripts that are put into it.
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  }));
  const told = found.violations.map((v) =>
    `${v.id} (${v.nodes.length}): ${v.help}: ${v.nodes[0].html.slice(0, 160)} ${v.nodes[0].any.map((a) => a.message).join("; ")}`);
  assert.deepEqual(told, []);
  assert.ok(found.passes.length > 20, "axe has looked at next to nothing");
}

/** Nothing reaches beyond the right edge, so that nobody has to scroll sideways. */
async function fits(page) {
  // Not innerWidth: a phone zooms out until a page that is too wide fits.
  const room = page.viewportSize().width;
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= room, `the page is ${wide} px wide in a window of ${room} px`);
}

await check("a conflict is found in three clicks", desktop, async (page) => {
  await picture(page, "desktop");
  await page.click("nav a[href='#attention']");
  await page.click("#attention .index a");
  const card = page.locator("article.problem:target");
  await card.waitFor();
  assert.ok(await card.evaluate((e) => {
    const r = e.getBoundingClientRect();
    return r.top >= 0 && r.top < innerHeight / 2;
  }), "the problem is not where the eye is");
  assert.match(await card.locator(".culprit").first().innerText(), /Broken by|Fits/);
  assert.ok(await card.locator(".sides pre .a, .sides pre .d").count() >= 2, "no side has colours");
  await picture(page, "conflict");
});

await check("a cell of the grid leads to its problem", desktop, async (page) => {
  await page.locator(".grid td.bad a:visible").first().click();
  await page.locator("article.problem:target").waitFor();
});

await check("a cell that fits leads to where its hunks land", desktop, async (page) => {
  await page.locator(".grid td.good a:visible").first().click();
  const row = page.locator("tr:target");
  await row.waitFor();
  assert.ok(await row.isVisible());
  await picture(page, "cell");
});

await check("every link leads somewhere", desktop, async (page) => {
  const broken = await page.evaluate(() => [...document.querySelectorAll("a[href^='#']")]
    .map((a) => a.getAttribute("href")).filter((h) => !document.getElementById(decodeURIComponent(h.slice(1)))));
  assert.deepEqual([...new Set(broken)], []);
  const twice = await page.evaluate(() => {
    const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
    return ids.filter((id, i) => ids.indexOf(id) !== i);
  });
  assert.deepEqual(twice, []);
  const others = await page.evaluate(() => [...document.querySelectorAll("a:not([href^='#'])")].map((a) => a.href));
  assert.ok(others.every((h) => h.startsWith("https://")), others.join(" "));
});

await check("a link from outside opens what is folded", desktop, async (page) => {
  const id = await page.locator("#versions details tr[id]").last().getAttribute("id");
  await page.goto("about:blank");
  await page.goto(`${url}#${id}`);
  await page.locator(`[id="${id}"]`).waitFor({ state: "visible" });
});

await check("the filter leaves what was asked for", desktop, async (page) => {
  const first = (await page.locator(".grid tbody tr:visible th").last().innerText()).split(/[.\s]/)[0];
  await page.keyboard.press("/");
  await page.keyboard.type(first);
  const left = await page.locator(".grid tbody tr:visible th").allInnerTexts();
  assert.ok(left.length > 0 && left.every((t) => t.startsWith(first)), left.join(" "));
  await page.keyboard.type(" nothing-is-called-so");
  assert.equal(await page.locator(".grid tbody tr:visible").count(), 0);
  await page.keyboard.press("Escape");
  assert.ok(await page.locator(".grid tbody tr:visible").count() > 0);
  const patch = await page.locator("article.patch").first().getAttribute("data-patch");
  await page.fill("#filter", patch);
  assert.equal(await page.locator("article.patch:visible").count(), 1);
});

await check("keys lead from problem to problem, and show all releases", desktop, async (page) => {
  await page.keyboard.press("n");
  await page.locator("article.problem:target").waitFor();
  const few = await page.locator(".grid tbody tr:visible").count();
  await page.keyboard.press("a");
  assert.ok(await page.locator(".grid tbody tr:visible").count() > few);
});

await check("before and after are shown alone", desktop, async (page) => {
  await page.locator("details.variant summary").first().click();
  const code = page.locator("details.variant").first();
  assert.ok(await code.locator(".a:visible").count() > 0);
  await page.check("input[name=show][value=before]");
  assert.equal(await code.locator(".a:visible").count(), 0);
  await picture(page, "patch");
});

await check("it reads without its script", { ...desktop, javaScriptEnabled: false }, async (page) => {
  const rows = await page.locator(".grid tbody tr").count();
  assert.equal(await page.locator(".grid tbody tr:visible").count(), rows);
  assert.equal(await page.locator("#filter:visible").count(), 0);
});

await check("axe finds nothing, light", desktop, async (page) => {
  await accessible(page);
  await unfold(page);
  await accessible(page);
});
await check("axe finds nothing, dark", dark, async (page) => {
  await picture(page, "dark");
  await unfold(page);
  await accessible(page);
});
await check("it fits a phone", phone, async (page) => {
  await fits(page);
  await picture(page, "phone");
  await unfold(page);
  await fits(page);
  await accessible(page);
});
await check("it fits paper", desktop, async (page) => {
  await page.emulateMedia({ media: "print" });
  assert.equal(await page.locator("header.bar:visible").count(), 0);
  await page.pdf({ path: path.join(folder, "page.pdf"), format: "A4" });
});

await browser.close();
console.log(failed === 0 ? "all checks hold" : `${failed} checks fail`);
process.exitCode = failed === 0 ? 0 : 1;
