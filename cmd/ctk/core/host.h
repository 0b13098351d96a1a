// What the Go core of SignPathCryptoTokenKit.app asks of its Objective-C half. Every function is called on threads of Go, one
// at a time but for show and alert. Errors are texts made by malloc, which the core frees.
#pragma once

struct sp_host {
	// Instance IDs of the app's tokens, each with '\n' behind it, made by malloc. 0: done, 1: macOS does not offer the
	// extension, 2: *error says what.
	int (*registered)(char **list, char **error);
	// A token in three steps. begin: configurationData; item: DER certificate, with a key when key is not 0; commit: 0 or 2.
	void (*begin)(const char *instance, const void *configuration, int size);
	void (*item)(const char *object, const char *label, const void *der, int size, int key);
	int (*commit)(char **error);
	int (*remove)(const char *instance, char **error); // 0, 1, 2 as above
	int (*visibility)(const char *instance);           // 0: absent, 1: ctkd has the token, 2: the keychain shows it
	// state is one of ctk.State; items are lines for a menu.
	void (*show)(const char *state, const char *text, const char *items);
	void (*alert)(const char *text); // for a person, and waits until it was read
};

// What sp_prepare says beside exit codes.
enum { SP_RUN_IN_MENU = -1, SP_RUN_ON_CONSOLE = -2 };
