// Signs a file with pkcs11js: HOST MODULE LABEL FILE FOLDER, PIN in TEST_PIN.
//
// FOLDER gets PADDING-HASH.sig for each way of signing; ECDSA signatures are r||s.
// Then the file is signed asynchronously, by libuv's threads, in eight sessions.
"use strict";
const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const p = require("pkcs11js");

const [module_, label, file, folder] = process.argv.slice(2);
const content = fs.readFileSync(file);
const sha = (n) => crypto.createHash("sha" + n).update(content).digest();
const write = (name, signature) => fs.writeFileSync(path.join(folder, name + ".sig"), signature);
const sha512Info = Buffer.from("3051300d060960864801650304020305000440", "hex");
const pss = (mechanism, hash, mgf, saltLen) => ({ mechanism, parameter: { type: p.CK_PARAMS_RSA_PSS, hashAlg: hash, mgf, saltLen } });

const lib = new p.PKCS11();
lib.load(module_);
lib.C_Initialize();

function find(session) {
  lib.C_FindObjectsInit(session, [
    { type: p.CKA_CLASS, value: p.CKO_PRIVATE_KEY },
    { type: p.CKA_ID, value: Buffer.from(label) },
  ]);
  const found = lib.C_FindObjects(session, 10);
  lib.C_FindObjectsFinal(session);
  if (found.length !== 1) throw new Error(`${found.length} keys ${label}`);
  return found[0];
}

function sign(session, key, name, mechanism, data) {
  lib.C_SignInit(session, typeof mechanism === "number" ? { mechanism } : mechanism, key);
  write(name, lib.C_Sign(session, data, Buffer.alloc(1024)));
}

async function main() {
  const slot = lib.C_GetSlotList(true)[0];
  if (lib.C_GetTokenInfo(slot).label.trim() !== "SignPath") throw new Error("another token");
  const session = lib.C_OpenSession(slot, p.CKF_SERIAL_SESSION);
  lib.C_Login(session, p.CKU_USER, process.env.TEST_PIN);
  const key = find(session);
  const isRSA = lib.C_GetAttributeValue(session, key, [{ type: p.CKA_KEY_TYPE }])[0].value.readUInt8(0) === p.CKK_RSA;
  if (isRSA) {
    sign(session, key, "pkcs1-sha256", p.CKM_SHA256_RSA_PKCS, content);
    sign(session, key, "pkcs1-sha512", p.CKM_RSA_PKCS, Buffer.concat([sha512Info, sha(512)]));
    sign(session, key, "pss-sha384", pss(p.CKM_RSA_PKCS_PSS, p.CKM_SHA384, p.CKG_MGF1_SHA384, 48), sha(384));
    sign(session, key, "pss-sha256", pss(p.CKM_SHA256_RSA_PKCS_PSS, p.CKM_SHA256, p.CKG_MGF1_SHA256, 32), content);
    lib.C_SignInit(session, { mechanism: p.CKM_SHA256_RSA_PKCS }, key);
    for (let i = 0; i < content.length; i += 7) lib.C_SignUpdate(session, content.subarray(i, i + 7));
    write("stream-pkcs1-sha256", lib.C_SignFinal(session, Buffer.alloc(1024)));
  } else {
    sign(session, key, "ecdsa-sha256", p.CKM_ECDSA, sha(256));
    sign(session, key, "ecdsa-sha384", p.CKM_ECDSA_SHA384, content);
  }
  const jobs = Array.from({ length: 8 }, async (_, i) => {
    const s = lib.C_OpenSession(slot, p.CKF_SERIAL_SESSION);
    lib.C_SignInit(s, { mechanism: isRSA ? p.CKM_SHA256_RSA_PKCS : p.CKM_ECDSA }, find(s));
    const signature = await lib.C_SignAsync(s, isRSA ? content : sha(256), Buffer.alloc(1024));
    write(`async${i}-${isRSA ? "pkcs1" : "ecdsa"}-sha256`, signature);
    lib.C_CloseSession(s);
  });
  await Promise.all(jobs);
  lib.C_Logout(session);
  lib.C_CloseSession(session);
  lib.C_Finalize();
}

main().catch((e) => {
  console.error("pkcs11js:", e.message);
  process.exit(1);
});
