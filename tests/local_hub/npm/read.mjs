// Read a repository with the npm client, and print what it saw as JSON: node read.mjs HUB TYPE/NAMESPACE/NAME REVISION
import { createHash } from "node:crypto";
import { downloadFile, fileExists, listCommits, listDatasets, listFiles, whoAmI } from "@huggingface/hub";

const [hubUrl, designation, revision] = process.argv.slice(2);
const [type, ...name] = designation.split("/");
const accessToken = process.env.HF_TOKEN;
const repo = { type, name: name.join("/") };

async function collect(rows, pick) {
  const all = [];
  for await (const row of rows) all.push(pick(row));
  return all;
}

async function digest(path, more = {}) {
  const blob = await downloadFile({ repo, path, revision, hubUrl, accessToken, ...more });
  return blob && createHash("sha256").update(Buffer.from(await blob.arrayBuffer())).digest("hex");
}

const entries = await collect(listFiles({ repo, revision, recursive: true, hubUrl, accessToken }), (row) => row);
const paths = entries.filter((row) => row.type === "file").map((row) => row.path);
const seen = {
  user: (await whoAmI({ hubUrl, accessToken })).name,
  datasets: await collect(listDatasets({ hubUrl, accessToken, search: { owner: name[0] } }), (row) => row.name),
  hidden: await collect(listDatasets({ hubUrl, search: { owner: name[0] } }), (row) => row.name),
  folders: entries.filter((row) => row.type === "directory").map((row) => row.path),
  large: entries.filter((row) => row.lfs).map((row) => [row.path, row.lfs.oid, row.size]),
  commits: await collect(listCommits({ repo, revision, hubUrl, accessToken }), (row) => row.title),
  files: Object.fromEntries(await Promise.all(paths.map(async (path) => [path, await digest(path)]))),
  raw: Object.fromEntries(await Promise.all(paths.map(async (path) => [path, await digest(path, { raw: true })]))),
  nothing: [await digest("nothing.txt"), await fileExists({ repo, path: "nothing.txt", revision, hubUrl, accessToken })],
};
console.log(JSON.stringify(seen));
