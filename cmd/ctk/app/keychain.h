// macOS' tokens and keychain for the Go core; see core/host.h.
#pragma once
int sp_keychain_registered(char **list, char **error);
void sp_keychain_begin(const char *instance, const void *configuration, int size);
void sp_keychain_item(const char *object, const char *label, const void *der, int size, int key);
int sp_keychain_commit(char **error);
int sp_keychain_remove(const char *instance, char **error);
int sp_keychain_visibility(const char *instance);
