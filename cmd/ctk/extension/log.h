// The extension's log: FOLDER/SignPath.CryptoProviders.CTK.Extension.txt, at most 1 MiB and one older copy. Lines never hold
// a secret; a line that cannot be written is lost, a signature never is.
#pragma once
void sp_log(const char *folder, const char *level, const char *text);
