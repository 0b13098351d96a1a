// library: /System/Library/Frameworks/CryptoTokenKit.framework/Versions/A/CryptoTokenKit 1
// What cmd/ctk uses of CryptoTokenKit. Persistent tokens (TKTokenDriver without a smart card) exist since macOS 10.15.
#pragma once
#import <Foundation/Foundation.h>
#import <Security/Security.h>

// source: TKError.h
extern NSString *const TKErrorDomain;
enum {
	TKErrorCodeNotImplemented = -1,
	TKErrorCodeCommunicationError = -2,
	TKErrorCodeCorruptedData = -3,
	TKErrorCodeCanceledByUser = -4,
	TKErrorCodeAuthenticationFailed = -5,
	TKErrorCodeObjectNotFound = -6,
	TKErrorCodeTokenNotFound = -7,
	TKErrorCodeBadParameter = -8,
	TKErrorCodeAuthenticationNeeded = -9
};

// source: TKTokenConfiguration.h
@interface TKTokenConfiguration : NSObject
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

// source: TKToken.h
typedef NSInteger TKTokenOperation;
enum {
	TKTokenOperationNone = 0,
	TKTokenOperationReadData = 1,
	TKTokenOperationSignData = 2,
	TKTokenOperationDecryptData = 3,
	TKTokenOperationPerformKeyExchange = 4
};
@class TKToken, TKTokenDriver, TKTokenSession, TKTokenKeychainContents;
@interface TKTokenKeyAlgorithm : NSObject
- (BOOL)isAlgorithm:(SecKeyAlgorithm)algorithm;
@end
@protocol TKTokenSessionDelegate <NSObject>
@optional
- (BOOL)tokenSession:(TKTokenSession *)session supportsOperation:(TKTokenOperation)operation usingKey:(id)object algorithm:(TKTokenKeyAlgorithm *)algorithm;
- (NSData *)tokenSession:(TKTokenSession *)session signData:(NSData *)data usingKey:(id)object algorithm:(TKTokenKeyAlgorithm *)algorithm error:(NSError **)error;
@end
@interface TKTokenSession : NSObject
- (instancetype)initWithToken:(TKToken *)token;
- (TKToken *)token;
- (void)setDelegate:(id)delegate;
@end
@protocol TKTokenDelegate <NSObject>
- (TKTokenSession *)token:(TKToken *)token createSessionWithError:(NSError **)error;
@end
@interface TKToken : NSObject
- (instancetype)initWithTokenDriver:(TKTokenDriver *)driver instanceID:(NSString *)instanceID;
- (TKTokenConfiguration *)configuration;
- (TKTokenKeychainContents *)keychainContents;
- (void)setDelegate:(id)delegate;
@end
@protocol TKTokenDriverDelegate <NSObject>
@optional
- (TKToken *)tokenDriver:(TKTokenDriver *)driver tokenForConfiguration:(TKTokenConfiguration *)configuration error:(NSError **)error;
@end
@interface TKTokenDriver : NSObject
- (void)setDelegate:(id)delegate;
@end

// source: TKTokenKeychainItem.h
@interface TKTokenKeychainItem : NSObject
- (id)objectID;
- (void)setLabel:(NSString *)label;
@end
@interface TKTokenKeychainCertificate : TKTokenKeychainItem
- (instancetype)initWithCertificate:(SecCertificateRef)certificate objectID:(id)objectID;
@end
@interface TKTokenKeychainKey : TKTokenKeychainItem
- (instancetype)initWithCertificate:(SecCertificateRef)certificate objectID:(id)objectID;
- (void)setCanSign:(BOOL)yes;
- (void)setCanDecrypt:(BOOL)yes;
- (void)setCanPerformKeyExchange:(BOOL)yes;
- (void)setSuitableForLogin:(BOOL)yes;
@end
@interface TKTokenKeychainContents : NSObject
- (void)fillWithItems:(NSArray *)items;
@end

// source: TKTokenWatcher.h
@interface TKTokenWatcher : NSObject
- (NSArray *)tokenIDs;
@end
