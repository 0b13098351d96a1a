// What ctkd does with the extension, by commands on the command line:
//
//	list                                     every token: instance, then its items
//	supports INSTANCE OPERATION ALGORITHM    yes or no
//	sign INSTANCE ALGORITHM DIGEST [ROUNDS]  the signature in hex, or "error CODE: text"; rounds are for leaks
//
// Driver, token and session are made anew in each round, as macOS makes them.
#import <CryptoTokenKit/CryptoTokenKit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static NSData *from_hex(const char *s) {
	NSMutableData *d = [NSMutableData data];
	for (; s[0] && s[1]; s += 2) {
		unsigned v;
		unsigned char b;
		if (sscanf(s, "%2x", &v) != 1) break;
		b = (unsigned char)v;
		[d appendBytes:&b length:1];
	}
	return d;
}

static id<TKTokenSessionDelegate> session_of(TKTokenDriver *driver, NSString *instance, TKTokenSession **session) {
	NSError *error = nil;
	TKTokenConfiguration *c = [[[[[TKTokenDriverConfiguration alloc] init] autorelease] tokenConfigurations] objectForKey:instance];
	if (!c) return nil;
	TKToken *token = [(id<TKTokenDriverDelegate>)[driver delegate] tokenDriver:driver tokenForConfiguration:c error:&error];
	*session = [(id<TKTokenDelegate>)[token delegate] token:token createSessionWithError:&error];
	return [*session delegate];
}

static TKTokenKeyAlgorithm *algorithm(const char *name) {
	TKTokenKeyAlgorithm *a = [[[TKTokenKeyAlgorithm alloc] init] autorelease];
	a->name = [NSString stringWithUTF8String:name];
	return a;
}

static int list(TKTokenDriver *driver) {
	NSDictionary *all = [[[[TKTokenDriverConfiguration alloc] init] autorelease] tokenConfigurations];
	NSEnumerator *names = [[[all allKeys] sortedArrayUsingSelector:@selector(compare:)] objectEnumerator];
	NSString *name;
	while ((name = [names nextObject])) {
		TKToken *token = [(id<TKTokenDriverDelegate>)[driver delegate] tokenDriver:driver tokenForConfiguration:[all objectForKey:name] error:NULL];
		NSEnumerator *items = [token->contents->items objectEnumerator];
		NSDictionary *item;
		printf("token %s\n", [name UTF8String]);
		while ((item = [items nextObject])) {
			NSData *der = [item objectForKey:@"certificate"];
			printf("%s\t%s\t%s\t%d%d%d%d\t", [[item objectForKey:@"kind"] UTF8String], [[item objectForKey:@"objectID"] UTF8String],
				[item objectForKey:@"label"] ? [[item objectForKey:@"label"] UTF8String] : "", [[item objectForKey:@"canSign"] intValue],
				[[item objectForKey:@"canDecrypt"] intValue], [[item objectForKey:@"canPerformKeyExchange"] intValue], [[item objectForKey:@"suitableForLogin"] intValue]);
			for (NSUInteger i = 0; i < [der length]; i++) printf("%02x", ((const unsigned char *)[der bytes])[i]);
			printf("\n");
		}
	}
	return 0;
}

static int round_of(const char **argv, BOOL print) {
	TKTokenDriver *driver = [[[NSClassFromString(@"SPTokenDriver") alloc] init] autorelease];
	TKTokenSession *session = nil;
	id<TKTokenSessionDelegate> d;
	NSError *error = nil;
	if (strcmp(argv[1], "list") == 0) return list(driver);
	d = session_of(driver, [NSString stringWithUTF8String:argv[2]], &session);
	if (!d) {
		printf("no such token\n");
		return 3;
	}
	if (strcmp(argv[1], "supports") == 0) {
		BOOL yes = [d tokenSession:session supportsOperation:atoi(argv[3]) usingKey:@"x" algorithm:algorithm(argv[4])];
		printf(yes ? "yes\n" : "no\n");
		return 0;
	}
	NSData *out = [d tokenSession:session signData:from_hex(argv[4]) usingKey:@"x" algorithm:algorithm(argv[3]) error:&error];
	if (!out) {
		if (print) printf("error %d: %s\n", (int)[error code], [[[error userInfo] objectForKey:NSLocalizedDescriptionKey] UTF8String]);
		return 4;
	}
	for (NSUInteger i = 0; print && i < [out length]; i++) printf("%02x", ((const unsigned char *)[out bytes])[i]);
	if (print) printf("\n");
	return 0;
}

int NSExtensionMain(int argc, const char *argv[]) {
	int rounds = argc > 5 ? atoi(argv[5]) : 1, code = 2;
	if (argc < 2) return code;
	for (int i = 0; i < rounds; i++) {
		NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
		code = round_of(argv, i == rounds - 1);
		[pool drain];
	}
	return code;
}
