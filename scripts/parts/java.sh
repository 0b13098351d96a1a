# shellcheck shell=bash
java="openjdk-17-jdk-headless apksigner aapt android-framework-res maven osslsigncode libengine-pkcs11-openssl wixl gcab"
newer="samples jsign debian13=openjdk-25-jdk-headless,osslsigncode,libengine-pkcs11-openssl"
part java default dist "jarsigner, keytool, apksigner and Jsign with OpenJDK 17 and 25" "$java" "$newer"
part java-all more dist "every key, digest and file" "$java" "$newer"

part_java() { e2e java ./e2e/java .; }
part_java-all() { E2E_ALL=1 e2e java-all ./e2e/java .; }
