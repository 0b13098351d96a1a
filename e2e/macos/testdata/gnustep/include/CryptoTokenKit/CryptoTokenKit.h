// The part of CryptoTokenKit that cmd/ctk uses, for GCC's runtime. Tokens stand as property lists in the folder FAKE_CTK,
// which app and extension share as they share ctkd on macOS.
#pragma once
#import <Foundation/Foundation.h>
#import <Security/Security.h>
extern NSString *const TKErrorDomain;
enum { TKErrorCodeNotImplemented = -1, TKErrorCodeCommunicationError = -2, TKErrorCodeBadParameter = -8 };
@interface TKTokenKeychainItem : NSObject {
	@public
	NSMutableDictionary *facts;
}
- (id)objectID;
- (void)setLabel:(NSString *)label;
@end
@interface TKTokenKeychainCertificate : TKTokenKeychainItem
- (id)initWithCertificate:(SecCertificateRef)certificate objectID:(id)objectID;
@end
@interface TKTokenKeychainKey : TKTokenKeychainItem
- (id)initWithCertificate:(SecCertificateRef)certificate objectID:(id)objectID;
- (void)setCanSign:(BOOL)yes;
- (void)setCanDecrypt:(BOOL)yes;
- (void)setCanPerformKeyExchange:(BOOL)yes;
- (void)setSuitableForLogin:(BOOL)yes;
@end
@interface TKTokenConfiguration : NSObject {
	@public
	NSString *instanceID;
	NSMutableDictionary *facts;
}
- (NSString *)instanceID;
- (NSData *)configurationData;
- (void)setConfigurationData:(NSData *)data;
- (NSArray *)keychainItems;
- (void)setKeychainItems:(NSArray *)items;
@end
@interface TKTokenDriverConfiguration : NSObject
+ (NSDictionary *)driverConfigurations;
- (NSDictionary *)tokenConfigurations;
- (TKTokenConfiguration *)addTokenConfigurationForTokenInstanceID:(NSString *)instanceID;
- (void)removeTokenConfigurationForTokenInstanceID:(NSString *)instanceID;
@end
typedef NSInteger TKTokenOperation;
enum { TKTokenOperationNone, TKTokenOperationReadData, TKTokenOperationSignData, TKTokenOperationDecryptData, TKTokenOperationPerformKeyExchange };
@class TKToken, TKTokenDriver, TKTokenSession;
@interface TKTokenKeychainContents : NSObject {
	@public
	NSArray *items;
}
- (void)fillWithItems:(NSArray *)items;
@end
@interface TKTokenKeyAlgorithm : NSObject {
	@public
	NSString *name;
}
- (BOOL)isAlgorithm:(SecKeyAlgorithm)algorithm;
@end
@protocol TKTokenSessionDelegate <NSObject>
- (BOOL)tokenSession:(TKTokenSession *)session supportsOperation:(TKTokenOperation)operation usingKey:(id)object algorithm:(TKTokenKeyAlgorithm *)algorithm;
- (NSData *)tokenSession:(TKTokenSession *)session signData:(NSData *)data usingKey:(id)object algorithm:(TKTokenKeyAlgorithm *)algorithm error:(NSError **)error;
@end
@interface TKTokenSession : NSObject {
	TKToken *token;
	id delegate;
}
- (id)initWithToken:(TKToken *)token;
- (TKToken *)token;
- (id)delegate;
- (void)setDelegate:(id)delegate;
@end
@protocol TKTokenDelegate <NSObject>
- (TKTokenSession *)token:(TKToken *)token createSessionWithError:(NSError **)error;
@end
@interface TKToken : NSObject {
	@public
	TKTokenConfiguration *configuration;
	TKTokenKeychainContents *contents;
	id delegate;
}
- (id)initWithTokenDriver:(TKTokenDriver *)driver instanceID:(NSString *)instanceID;
- (TKTokenConfiguration *)configuration;
- (TKTokenKeychainContents *)keychainContents;
- (id)delegate;
- (void)setDelegate:(id)delegate;
@end
@protocol TKTokenDriverDelegate <NSObject>
- (TKToken *)tokenDriver:(TKTokenDriver *)driver tokenForConfiguration:(TKTokenConfiguration *)configuration error:(NSError **)error;
@end
@interface TKTokenDriver : NSObject {
	id delegate;
}
- (id)delegate;
- (void)setDelegate:(id)delegate;
@end
@interface TKTokenWatcher : NSObject
- (NSArray *)tokenIDs;
@end
int NSExtensionMain(int argc, const char *argv[]);
