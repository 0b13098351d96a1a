package net.jsign.jca;

import java.io.ByteArrayInputStream;
import java.io.File;
import java.nio.file.*;
import java.security.*;
import java.security.cert.*;
import java.security.cert.Certificate;
import net.jsign.*;

/**
 * Signs files with Jsign's SIGNPATH store at an address of one's own. Jsign's
 * command line always goes to SignPath's; the constructor with an address is for
 * this package only. Arguments: address up to the version ("…/v1"), organization,
 * token, alias, chain (PEM), digest algorithm, files.
 */
public class SignPathStore {
    public static void main(String[] args) throws Exception {
        String alias = args[3];
        SigningServiceJcaProvider provider = new SigningServiceJcaProvider(new SignPathSigningService(args[0], args[1], args[2]));
        KeyStore store = KeyStore.getInstance("SIGNPATH", provider);
        store.load(null, null);
        X509Certificate leaf = (X509Certificate) store.getCertificate(alias);
        // The service's list has the leaf only: the issuers come from a file.
        Certificate[] chain = CertificateFactory.getInstance("X.509")
                .generateCertificates(new ByteArrayInputStream(Files.readAllBytes(Path.of(args[4])))).toArray(new Certificate[0]);
        if (!chain[0].equals(leaf)) {
            throw new Exception("the service's certificate is another one than the file's");
        }
        for (int i = 6; i < args.length; i++) {
            try (Signable file = Signable.of(new File(args[i]))) {
                new AuthenticodeSigner(chain, (PrivateKey) store.getKey(alias, null))
                        .withSignatureProvider(provider).withTimestamping(false)
                        .withDigestAlgorithm(DigestAlgorithm.of(args[5])).sign(file);
            }
        }
    }
}
