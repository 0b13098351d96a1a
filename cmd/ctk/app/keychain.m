// Tokens are registered through TKTokenDriverConfiguration, which macOS gives to the app that holds the extension and to
// nobody else. All functions run on threads of Go, one at a time.
#import <CryptoTokenKit/CryptoTokenKit.h>
#import <CoreFoundation/CoreFoundation.h>
#import <Foundation/Foundation.h>
#import <Security/Security.h>
#include "keychain.h"
#include <stdlib.h>
#include <string.h>

#ifndef SP_CLASS_ID
#error "SP_CLASS_ID is the com.apple.ctk.class-id of the extension's Info.plist"
#endif

static NSString *class_id(void) { return [NSString stringWithUTF8String:SP_CLASS_ID]; }

static TKTokenDriverConfiguration *driver(void) { return [[TKTokenDriverConfiguration driverConfigurations] objectForKey:class_id()]; }

int sp_keychain_registered(char **list, char **error) {
	NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
	TKTokenDriverConfiguration *d = driver();
	int code = 1;
	(void)error;
	if (d) {
		NSArray *names = [[d tokenConfigurations] allKeys];
		NSString *all = [NSString string];
		for (NSUInteger i = 0; i < [names count]; i++)
			all = [[all stringByAppendingString:[names objectAtIndex:i]] stringByAppendingString:@"\n"];
		*list = strdup([all UTF8String]);
		code = 0;
	}
	[pool drain];
	return code;
}

// The token between begin and commit.
static struct {
	NSString *instance;
	NSData *configuration;
	NSMutableArray *items;
	BOOL bad; // a certificate that Security cannot read
} next;

static void forget(void) {
	[next.instance release];
	[next.configuration release];
	[next.items release];
	memset(&next, 0, sizeof next);
}

void sp_keychain_begin(const char *instance, const void *configuration, int size) {
	NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
	forget();
	next.instance = [[NSString stringWithUTF8String:instance] retain];
	next.configuration = [[NSData dataWithBytes:configuration length:(NSUInteger)size] retain];
	next.items = [[NSMutableArray alloc] init];
	[pool drain];
}

void sp_keychain_item(const char *object, const char *label, const void *der, int size, int key) {
	NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
	NSString *name = [NSString stringWithUTF8String:object], *text = *label ? [NSString stringWithUTF8String:label] : nil;
	SecCertificateRef certificate = SecCertificateCreateWithData(kCFAllocatorDefault, (CFDataRef)[NSData dataWithBytes:der length:(NSUInteger)size]);
	if (certificate) {
		TKTokenKeychainCertificate *c = [[TKTokenKeychainCertificate alloc] initWithCertificate:certificate objectID:name];
		if (text) [c setLabel:text];
		if (c) [next.items addObject:c];
		[c release];
	}
	if (certificate && key) {
		TKTokenKeychainKey *k = [[TKTokenKeychainKey alloc] initWithCertificate:certificate objectID:name];
		if (text) [k setLabel:text];
		[k setCanSign:YES];
		[k setCanDecrypt:NO];
		[k setCanPerformKeyExchange:NO];
		[k setSuitableForLogin:NO];
		if (k) [next.items addObject:k];
		[k release];
	}
	if (certificate)
		CFRelease(certificate);
	else if (key)
		next.bad = YES;
	[pool drain];
}

int sp_keychain_commit(char **error) {
	NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
	TKTokenDriverConfiguration *d = driver();
	int code = 2;
	if (next.bad) {
		*error = strdup("Security.framework cannot read the certificate");
	} else if (!d) {
		code = 1;
	} else {
		TKTokenConfiguration *c = [d addTokenConfigurationForTokenInstanceID:next.instance];
		if (c) {
			// First the way to the app, then the keys that need it.
			[c setConfigurationData:next.configuration];
			[c setKeychainItems:next.items];
			code = 0;
		} else {
			*error = strdup("CryptoTokenKit made no token configuration");
		}
	}
	forget();
	[pool drain];
	return code;
}

int sp_keychain_remove(const char *instance, char **error) {
	NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
	TKTokenDriverConfiguration *d = driver();
	(void)error;
	[d removeTokenConfigurationForTokenInstanceID:[NSString stringWithUTF8String:instance]];
	[pool drain];
	return d ? 0 : 1;
}

int sp_keychain_visibility(const char *instance) {
	static TKTokenWatcher *watcher;
	NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
	NSString *name = [[class_id() stringByAppendingString:@":"] stringByAppendingString:[NSString stringWithUTF8String:instance]];
	if (!watcher) watcher = [[TKTokenWatcher alloc] init];
	int seen = [[watcher tokenIDs] containsObject:name] ? 1 : 0;
	NSMutableDictionary *query = [NSMutableDictionary dictionary];
	[query setObject:(id)kSecClassIdentity forKey:(id)kSecClass];
	[query setObject:(id)kSecAttrAccessGroupToken forKey:(id)kSecAttrAccessGroup];
	[query setObject:name forKey:(id)kSecAttrTokenID];
	[query setObject:[NSNumber numberWithBool:YES] forKey:(id)kSecReturnRef];
	CFTypeRef found = NULL;
	if (SecItemCopyMatching((CFDictionaryRef)query, &found) == errSecSuccess) seen = 2;
	if (found) CFRelease(found);
	[pool drain];
	return seen;
}
