import java.io.File;
import java.util.Arrays;
import java.util.HexFormat;
import net.jsign.DigestAlgorithm;
import net.jsign.Signable;

/**
 * Prints what Jsign takes for the digest of signed files, a second reading of
 * each format beside osslsigncode's. Arguments: digest algorithm, files.
 */
public class AuthenticodeDigest {
    public static void main(String[] args) throws Exception {
        for (String name : Arrays.copyOfRange(args, 1, args.length)) {
            try (Signable file = Signable.of(new File(name))) {
                System.out.println(HexFormat.of().formatHex(file.computeDigest(DigestAlgorithm.of(args[0]))) + " " + name);
            }
        }
    }
}
