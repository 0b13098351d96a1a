// A CryptoTokenKit, Security and CommonCrypto as far as cmd/ctk needs them.
#import <CoreFoundation/CoreFoundation.h>
#import <CryptoTokenKit/CryptoTokenKit.h>
#include <CommonCrypto/CommonHMAC.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <unistd.h>

#define SP_ALGORITHM(number, name) SecKeyAlgorithm const kSecKeyAlgorithm##name = @"" #name;
#include "algorithms.h"
SP_ALGORITHM(0, RSASignatureRaw)
SP_ALGORITHM(0, RSASignatureMessagePKCS1v15SHA256)
SP_ALGORITHM(0, RSAEncryptionPKCS1)
SP_ALGORITHM(0, ECDHKeyExchangeStandard)
NSString *const kSecClass = @"class", *const kSecClassIdentity = @"idnt", *const kSecReturnRef = @"r_Ref", *const kSecAttrTokenID = @"tkid",
	*const kSecAttrAccessGroup = @"agrp", *const kSecAttrAccessGroupToken = @"com.apple.token";
NSString *const TKErrorDomain = @"CryptoTokenKit";
const CFAllocatorRef kCFAllocatorDefault = 0;

void CCHmac(int algorithm, const void *key, size_t keyLength, const void *data, size_t dataLength, void *out) {
	if (algorithm != kCCHmacAlgSHA256 || !HMAC(EVP_sha256(), key, (int)keyLength, data, dataLength, out, NULL)) abort();
}
void CFRelease(id object) { [object release]; }

// A certificate is its DER; whatever is no SEQUENCE of its length is none.
SecCertificateRef SecCertificateCreateWithData(CFAllocatorRef allocator, CFDataRef der) {
	const unsigned char *b = [(NSData *)der bytes];
	NSUInteger n = [(NSData *)der length];
	(void)allocator;
	if (n < 4 || b[0] != 0x30 || b[1] != 0x82 || n != 4u + ((NSUInteger)b[2] << 8 | b[3])) return nil;
	return [der copy];
}

static NSString *place(NSString *name) { return [[NSString stringWithUTF8String:getenv("FAKE_CTK")] stringByAppendingPathComponent:name]; }
static BOOL there(NSString *name) { return [[NSFileManager defaultManager] fileExistsAtPath:place(name)]; }
static NSString *class_id(void) { return [NSString stringWithUTF8String:SP_CLASS_ID]; }
static NSString *file_of(NSString *instance) { return place([NSString stringWithFormat:@"tokens/%@:%@.plist", class_id(), instance]); }

static NSArray *instances(void) {
	NSMutableArray *all = [NSMutableArray array];
	NSEnumerator *names = [[[[NSFileManager defaultManager] contentsOfDirectoryAtPath:place(@"tokens") error:NULL] sortedArrayUsingSelector:@selector(compare:)] objectEnumerator];
	NSString *name, *prefix = [class_id() stringByAppendingString:@":"];
	while ((name = [names nextObject]))
		if ([name hasPrefix:prefix] && [name hasSuffix:@".plist"]) [all addObject:[[name stringByDeletingPathExtension] substringFromIndex:[prefix length]]];
	return all;
}

// Only tokens with an identity are in the keychain, unless the test says that nothing is.
OSStatus SecItemCopyMatching(CFDictionaryRef query, CFTypeRef *result) {
	NSEnumerator *all = [instances() objectEnumerator];
	NSString *name;
	if (there(@"invisible") || ![[query objectForKey:kSecClass] isEqual:kSecClassIdentity] || ![[query objectForKey:kSecAttrAccessGroup] isEqual:kSecAttrAccessGroupToken]) return errSecItemNotFound;
	while ((name = [all nextObject]))
		if ([[query objectForKey:kSecAttrTokenID] isEqual:[NSString stringWithFormat:@"%@:%@", class_id(), name]]) {
			*result = [[NSObject alloc] init];
			return errSecSuccess;
		}
	return errSecItemNotFound;
}

@implementation TKTokenKeyAlgorithm
- (BOOL)isAlgorithm:(SecKeyAlgorithm)algorithm { return [name isEqualToString:algorithm]; }
@end

@implementation TKTokenKeychainItem
- (id)initWithCertificate:(SecCertificateRef)certificate objectID:(id)objectID {
	if ((self = [super init]) && certificate) {
		facts = [[NSMutableDictionary alloc] init];
		[facts setObject:certificate forKey:@"certificate"];
		[facts setObject:objectID forKey:@"objectID"];
		[facts setObject:NSStringFromClass([self class]) forKey:@"kind"];
	}
	return self;
}
- (void)dealloc {
	[facts release];
	[super dealloc];
}
- (id)objectID { return [facts objectForKey:@"objectID"]; }
- (void)setLabel:(NSString *)label { [facts setObject:label forKey:@"label"]; }
- (void)set:(BOOL)yes key:(NSString *)key { [facts setObject:[NSNumber numberWithBool:yes] forKey:key]; }
@end
@implementation TKTokenKeychainCertificate
- (id)initWithCertificate:(SecCertificateRef)certificate objectID:(id)objectID { return [super initWithCertificate:certificate objectID:objectID]; }
@end
@implementation TKTokenKeychainKey
- (id)initWithCertificate:(SecCertificateRef)certificate objectID:(id)objectID { return [super initWithCertificate:certificate objectID:objectID]; }
- (void)setCanSign:(BOOL)yes { [self set:yes key:@"canSign"]; }
- (void)setCanDecrypt:(BOOL)yes { [self set:yes key:@"canDecrypt"]; }
- (void)setCanPerformKeyExchange:(BOOL)yes { [self set:yes key:@"canPerformKeyExchange"]; }
- (void)setSuitableForLogin:(BOOL)yes { [self set:yes key:@"suitableForLogin"]; }
@end

@implementation TKTokenConfiguration
- (id)initWithInstance:(NSString *)instance {
	if ((self = [super init])) {
		instanceID = [instance copy];
		facts = [[NSMutableDictionary alloc] init];
		NSDictionary *old = [NSDictionary dictionaryWithContentsOfFile:file_of(instance)];
		if (old) [facts setDictionary:old];
	}
	return self;
}
- (void)dealloc {
	[instanceID release];
	[facts release];
	[super dealloc];
}
- (void)save {
	[[NSFileManager defaultManager] createDirectoryAtPath:place(@"tokens") withIntermediateDirectories:YES attributes:nil error:NULL];
	[facts writeToFile:file_of(instanceID) atomically:YES];
}
- (NSString *)instanceID { return instanceID; }
- (NSData *)configurationData { return [facts objectForKey:@"configurationData"]; }
- (void)setConfigurationData:(NSData *)data {
	[facts setObject:data forKey:@"configurationData"];
	[self save];
}
- (NSArray *)keychainItems { return [facts objectForKey:@"items"]; }
- (void)setKeychainItems:(NSArray *)items {
	NSMutableArray *all = [NSMutableArray array];
	NSEnumerator *each = [items objectEnumerator];
	TKTokenKeychainItem *item;
	while ((item = [each nextObject])) [all addObject:item->facts];
	[facts setObject:all forKey:@"items"];
	[self save];
}
@end

@implementation TKTokenDriverConfiguration
+ (NSDictionary *)driverConfigurations {
	while (there(@"hang")) usleep(50000);
	if (!there(@"registered")) return [NSDictionary dictionary];
	return [NSDictionary dictionaryWithObject:[[[self alloc] init] autorelease] forKey:class_id()];
}
- (NSDictionary *)tokenConfigurations {
	NSMutableDictionary *all = [NSMutableDictionary dictionary];
	NSEnumerator *names = [instances() objectEnumerator];
	NSString *name;
	while ((name = [names nextObject])) [all setObject:[[[TKTokenConfiguration alloc] initWithInstance:name] autorelease] forKey:name];
	return all;
}
- (TKTokenConfiguration *)addTokenConfigurationForTokenInstanceID:(NSString *)instanceID {
	[self removeTokenConfigurationForTokenInstanceID:instanceID]; // it replaces one that is there
	return [[[TKTokenConfiguration alloc] initWithInstance:instanceID] autorelease];
}
- (void)removeTokenConfigurationForTokenInstanceID:(NSString *)instanceID { [[NSFileManager defaultManager] removeItemAtPath:file_of(instanceID) error:NULL]; }
@end

@implementation TKTokenKeychainContents
- (void)dealloc {
	[items release];
	[super dealloc];
}
- (void)fillWithItems:(NSArray *)all {
	[items release];
	items = [all retain];
}
@end
@implementation TKToken
- (id)initWithTokenDriver:(TKTokenDriver *)driver instanceID:(NSString *)instanceID {
	(void)driver;
	if ((self = [super init])) {
		configuration = [[TKTokenConfiguration alloc] initWithInstance:instanceID];
		contents = [[TKTokenKeychainContents alloc] init];
	}
	return self;
}
- (void)dealloc {
	[configuration release];
	[contents release];
	[super dealloc];
}
- (TKTokenConfiguration *)configuration { return configuration; }
- (TKTokenKeychainContents *)keychainContents { return contents; }
- (id)delegate { return delegate; }
- (void)setDelegate:(id)d { delegate = d; }
@end
@implementation TKTokenDriver
- (id)delegate { return delegate; }
- (void)setDelegate:(id)d { delegate = d; }
@end
@implementation TKTokenSession
- (id)initWithToken:(TKToken *)t {
	if ((self = [super init])) token = [t retain];
	return self;
}
- (void)dealloc {
	[token release];
	[super dealloc];
}
- (TKToken *)token { return token; }
- (id)delegate { return delegate; }
- (void)setDelegate:(id)d { delegate = d; }
@end
@implementation TKTokenWatcher
- (NSArray *)tokenIDs {
	NSMutableArray *all = [NSMutableArray array];
	NSEnumerator *names = [there(@"ctkd.pid") ? instances() : [NSArray array] objectEnumerator];
	NSString *name;
	while ((name = [names nextObject])) [all addObject:[NSString stringWithFormat:@"%@:%@", class_id(), name]];
	return all;
}
@end
