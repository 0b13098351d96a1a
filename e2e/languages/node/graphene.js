// Signs a file with graphene-pk11: HOST MODULE LABEL FILE FOLDER, PIN in TEST_PIN.
//
// FOLDER gets PADDING-HASH.sig for each way of signing; ECDSA signatures are r||s.
"use strict";
const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const g = require("graphene-pk11");

const [module_, label, file, folder] = process.argv.slice(2);
const content = fs.readFileSync(file);
const write = (name, signature) => fs.writeFileSync(path.join(folder, name + ".sig"), signature);

const lib = g.Module.load(module_, "SignPath");
lib.initialize();
try {
  const slot = lib.getSlots(0, true);
  const session = slot.open(g.SessionFlag.SERIAL_SESSION);
  session.login(process.env.TEST_PIN);
  const found = session.find({ class: g.ObjectClass.PRIVATE_KEY, label });
  if (found.length !== 1) throw new Error(`${found.length} keys ${label}`);
  const key = found.items(0).toType();
  const once = (mechanism, data) => session.createSign(mechanism, key).once(data);
  if (key.type === g.KeyType.RSA) {
    write("pkcs1-sha256", once("SHA256_RSA_PKCS", content));
    write("pss-sha256", once({ name: "SHA256_RSA_PKCS_PSS", params: new g.RsaPssParams(g.MechanismEnum.SHA256, g.RsaMgf.MGF1_SHA256, 32) }, content));
    const sign = session.createSign("SHA512_RSA_PKCS", key);
    for (let i = 0; i < content.length; i += 7) sign.update(content.subarray(i, i + 7));
    write("pkcs1-sha512", sign.final());
  } else {
    write("ecdsa-sha256", once("ECDSA", crypto.createHash("sha256").update(content).digest()));
    write("ecdsa-sha384", once("ECDSA_SHA384", content));
  }
  session.logout();
  session.close();
} catch (e) {
  console.error("graphene:", e.message);
  process.exitCode = 1;
} finally {
  lib.finalize();
}
