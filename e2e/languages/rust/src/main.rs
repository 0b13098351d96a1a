//! Signs a file with the crate cryptoki: HOST MODULE LABEL FILE FOLDER, PIN in TEST_PIN.
//!
//! FOLDER gets PADDING-HASH.sig for each way of signing; ECDSA signatures are r||s.
//! Then eight threads sign the file, each in a session of its own.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs, process, thread};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use sha2::{Digest, Sha256, Sha384, Sha512};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn find(session: &Session, label: &str) -> Outcome<ObjectHandle> {
    let found = session.find_objects(&[
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::Label(label.as_bytes().to_vec()),
    ])?;
    match found.as_slice() {
        [one] => Ok(*one),
        _ => Err(format!("{} keys {label}", found.len()).into()),
    }
}

fn write(folder: &Path, name: &str, signature: &[u8]) -> Outcome<()> {
    Ok(fs::write(folder.join(format!("{name}.sig")), signature)?)
}

fn one(session: &Session, label: &str, is_rsa: bool, content: &[u8]) -> Outcome<(&'static str, Vec<u8>)> {
    let key = find(session, label)?;
    if is_rsa {
        Ok(("pkcs1-sha256", session.sign(&Mechanism::Sha256RsaPkcs, key, content)?))
    } else {
        Ok(("ecdsa-sha256", session.sign(&Mechanism::Ecdsa, key, &Sha256::digest(content))?))
    }
}

fn every(session: &Session, label: &str, content: &[u8], folder: &Path) -> Outcome<bool> {
    let key = find(session, label)?;
    let kind = session.get_attributes(key, &[AttributeType::KeyType])?;
    let is_rsa = matches!(kind.first(), Some(Attribute::KeyType(k)) if *k == KeyType::RSA);
    let (name, signature) = one(session, label, is_rsa, content)?;
    write(folder, name, &signature)?;
    if is_rsa {
        let pss = |hash_alg, mgf, s_len: u64| PkcsPssParams { hash_alg, mgf, s_len: s_len.into() };
        let sha384 = pss(MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48);
        write(folder, "pss-sha384", &session.sign(&Mechanism::RsaPkcsPss(sha384), key, &Sha384::digest(content))?)?;
        let sha256 = pss(MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32);
        write(folder, "pss-sha256", &session.sign(&Mechanism::Sha256RsaPkcsPss(sha256), key, content)?)?;
        let mut info = vec![0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40];
        info.extend_from_slice(&Sha512::digest(content));
        write(folder, "pkcs1-sha512", &session.sign(&Mechanism::RsaPkcs, key, &info)?)?;
        session.sign_init(&Mechanism::Sha256RsaPkcs, key)?;
        for part in content.chunks(7) {
            session.sign_update(part)?;
        }
        write(folder, "stream-pkcs1-sha256", &session.sign_final()?)?;
    } else {
        write(folder, "ecdsa-sha384", &session.sign(&Mechanism::EcdsaSha384, key, content)?)?;
    }
    Ok(is_rsa)
}

fn run() -> Outcome<()> {
    let arguments: Vec<String> = env::args().collect();
    let (label, content, folder) = (arguments[2].clone(), fs::read(&arguments[3])?, PathBuf::from(&arguments[4]));
    let module = Pkcs11::new(&arguments[1])?;
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    let slots: Vec<Slot> = module.get_slots_with_token()?;
    let slot = slots[0];
    if module.get_token_info(slot)?.label() != "SignPath" {
        return Err("another token".into());
    }
    let session = module.open_ro_session(slot)?;
    session.login(UserType::User, Some(&AuthPin::new(env::var("TEST_PIN")?.into())))?;
    let is_rsa = every(&session, &label, &content, &folder)?;
    let threads: Vec<_> = (0..8)
        .map(|i| {
            let (module, label, content, folder) = (module.clone(), label.clone(), content.clone(), folder.clone());
            thread::spawn(move || -> Outcome<()> {
                let session = module.open_ro_session(slot)?;
                let (name, signature) = one(&session, &label, is_rsa, &content)?;
                write(&folder, &format!("thread{i}-{name}"), &signature)
            })
        })
        .collect();
    for t in threads {
        t.join().map_err(|_| "a thread panicked")??;
    }
    session.logout()?;
    Ok(())
}

fn main() {
    if let Err(e) = run() {
        eprintln!("cryptoki: {e:?}"); // the code by its name
        process::exit(1);
    }
}
