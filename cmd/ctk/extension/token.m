// The token extension: driver, token, session. It decides nothing: which algorithms a token has stands in its
// configuration, and signatures come from the app over the local channel (channel.c). No ARC and nothing newer than
// Objective-C 1 with properties, so that GCC's runtime runs the very same file in tests.
#import <CryptoTokenKit/CryptoTokenKit.h>
#import <Foundation/Foundation.h>
#import <Security/Security.h>
#include "channel.h"
#include "log.h"
#include <stdio.h>

@interface SPTokenDriver : TKTokenDriver <TKTokenDriverDelegate>
@end
@interface SPToken : TKToken <TKTokenDelegate>
@end
@interface SPTokenSession : TKTokenSession <TKTokenSessionDelegate>
@end

// The number of an algorithm, 0 for those that tokens do not have.
static unsigned number_of(TKTokenKeyAlgorithm *a) {
#define SP_ALGORITHM(number, name) \
	if ([a isAlgorithm:kSecKeyAlgorithm##name]) return number;
#include "algorithms.h"
#undef SP_ALGORITHM
	return 0;
}

// In the sandbox the home folder is the extension's container.
static void log_line(const char *level, NSString *instance, const char *text) {
	char line[1024];
	NSString *folder = [NSHomeDirectory() stringByAppendingPathComponent:@"Library/Logs/ctk"];
	(void)snprintf(line, sizeof line, "token %.128s: %.800s", instance ? [instance UTF8String] : "?", text);
	sp_log([folder UTF8String], level, line);
}

static NSError *failure(int code, const char *text) {
	NSString *said = [NSString stringWithUTF8String:text];
	NSDictionary *info = said ? [NSDictionary dictionaryWithObject:said forKey:NSLocalizedDescriptionKey] : nil;
	return [NSError errorWithDomain:TKErrorDomain code:code userInfo:info];
}

@implementation SPTokenDriver
- (id)init {
	if ((self = [super init])) [self setDelegate:self];
	return self;
}
- (TKToken *)tokenDriver:(TKTokenDriver *)driver tokenForConfiguration:(TKTokenConfiguration *)configuration error:(NSError **)error {
	(void)error;
	SPToken *token = [[[SPToken alloc] initWithTokenDriver:driver instanceID:[configuration instanceID]] autorelease];
	[token setDelegate:token];
	[[token keychainContents] fillWithItems:[configuration keychainItems]];
	return token;
}
@end

@implementation SPToken
- (TKTokenSession *)token:(TKToken *)token createSessionWithError:(NSError **)error {
	(void)error;
	SPTokenSession *session = [[[SPTokenSession alloc] initWithToken:token] autorelease];
	[session setDelegate:session];
	return session;
}
@end

@implementation SPTokenSession
- (BOOL)tokenSession:(TKTokenSession *)session supportsOperation:(TKTokenOperation)operation usingKey:(id)object algorithm:(TKTokenKeyAlgorithm *)algorithm {
	(void)object; // a token has one key
	struct sp_configuration c;
	NSData *data = [[[session token] configuration] configurationData];
	unsigned number = operation == TKTokenOperationSignData ? number_of(algorithm) : 0;
	return number != 0 && sp_configuration_read(&c, [data bytes], [data length]) && sp_configuration_allows(&c, number);
}
- (NSData *)tokenSession:(TKTokenSession *)session signData:(NSData *)digest usingKey:(id)object algorithm:(TKTokenKeyAlgorithm *)algorithm error:(NSError **)error {
	(void)object;
	struct sp_configuration c;
	struct sp_answer answer = { .code = TKErrorCodeBadParameter };
	TKTokenConfiguration *configuration = [[session token] configuration];
	NSData *data = [configuration configurationData];
	NSString *instance = [configuration instanceID];
	unsigned number = number_of(algorithm);
	if (!instance || !sp_configuration_read(&c, [data bytes], [data length]))
		(void)snprintf((char *)answer.body, sizeof answer.body, "the token has no configuration of this version; start SignPathCryptoTokenKit.app again");
	else if (number == 0)
		(void)snprintf((char *)answer.body, sizeof answer.body, "the token has no such algorithm");
	else
		sp_ask(&c, [instance UTF8String], number, [digest bytes], [digest length], &answer);
	if (answer.code == 0) return [NSData dataWithBytes:answer.body length:answer.size];
	log_line("ERROR", instance, (const char *)answer.body);
	if (error) *error = failure(answer.code, (const char *)answer.body);
	return nil;
}
@end
