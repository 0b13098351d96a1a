/* The functions of PKCS #11: the 68 of CK_FUNCTION_LIST (2.40, section 3.6) and the 24 that CK_FUNCTION_LIST_3_0 has
 * behind them (3.0 and 3.1, section 3.6), each in the order of its structure.
 * This table makes the exports, the function lists, the call numbers and the argument checks.
 *
 * X(name, number of arguments, kind, mask of the arguments that must not be NULL)
 *   OWN       written out in shim.c
 *   FAST      the core answers from memory
 *   WAIT      may use the network: the host's thread waits under its own signal mask
 *   NONE      not supported
 *   PARALLEL  legacy functions of section 5.16 (2.40), 5.20 (3.x)
 */
#ifndef SP_FUNCTIONS_H
#define SP_FUNCTIONS_H
#define SP_FUNCTIONS(X) \
 X(Initialize,1,OWN,0) X(Finalize,1,OWN,0) X(GetInfo,1,OWN,0) X(GetFunctionList,1,OWN,0) \
 X(GetSlotList,3,FAST,4) X(GetSlotInfo,2,FAST,2) X(GetTokenInfo,2,FAST,2) X(GetMechanismList,3,FAST,4) X(GetMechanismInfo,3,FAST,4) \
 X(InitToken,4,NONE,0) X(InitPIN,3,NONE,0) X(SetPIN,5,NONE,0) \
 X(OpenSession,5,FAST,16) X(CloseSession,1,FAST,0) X(CloseAllSessions,1,FAST,0) X(GetSessionInfo,2,FAST,2) \
 X(GetOperationState,3,NONE,0) X(SetOperationState,5,NONE,0) X(Login,4,WAIT,0) X(Logout,1,FAST,0) \
 X(CreateObject,4,FAST,0) X(CopyObject,5,FAST,0) X(DestroyObject,2,FAST,0) X(GetObjectSize,3,FAST,4) \
 X(GetAttributeValue,4,FAST,4) X(SetAttributeValue,4,FAST,0) \
 X(FindObjectsInit,3,WAIT,0) X(FindObjects,4,FAST,10) X(FindObjectsFinal,1,FAST,0) \
 X(EncryptInit,3,NONE,0) X(Encrypt,5,NONE,0) X(EncryptUpdate,5,NONE,0) X(EncryptFinal,3,NONE,0) \
 X(DecryptInit,3,NONE,0) X(Decrypt,5,NONE,0) X(DecryptUpdate,5,NONE,0) X(DecryptFinal,3,NONE,0) \
 X(DigestInit,2,NONE,0) X(Digest,5,NONE,0) X(DigestUpdate,3,NONE,0) X(DigestKey,2,NONE,0) X(DigestFinal,3,NONE,0) \
 X(SignInit,3,FAST,0) X(Sign,5,WAIT,16) X(SignUpdate,3,FAST,0) X(SignFinal,3,WAIT,4) \
 X(SignRecoverInit,3,NONE,0) X(SignRecover,5,NONE,0) \
 X(VerifyInit,3,FAST,0) X(Verify,5,FAST,8) X(VerifyUpdate,3,FAST,0) X(VerifyFinal,3,FAST,2) \
 X(VerifyRecoverInit,3,NONE,0) X(VerifyRecover,5,NONE,0) \
 X(DigestEncryptUpdate,5,NONE,0) X(DecryptDigestUpdate,5,NONE,0) X(SignEncryptUpdate,5,NONE,0) X(DecryptVerifyUpdate,5,NONE,0) \
 X(GenerateKey,5,NONE,0) X(GenerateKeyPair,8,NONE,0) X(WrapKey,6,NONE,0) X(UnwrapKey,8,NONE,0) X(DeriveKey,6,NONE,0) \
 X(SeedRandom,3,FAST,0) X(GenerateRandom,3,FAST,0) X(GetFunctionStatus,1,PARALLEL,0) X(CancelFunction,1,PARALLEL,0) X(WaitForSlotEvent,3,OWN,0)
#define SP_FUNCTIONS_3(X) \
 X(GetInterfaceList,2,OWN,0) X(GetInterface,4,OWN,0) X(LoginUser,6,WAIT,0) X(SessionCancel,2,FAST,0) \
 X(MessageEncryptInit,3,NONE,0) X(EncryptMessage,9,NONE,0) X(EncryptMessageBegin,5,NONE,0) X(EncryptMessageNext,8,NONE,0) X(MessageEncryptFinal,1,NONE,0) \
 X(MessageDecryptInit,3,NONE,0) X(DecryptMessage,9,NONE,0) X(DecryptMessageBegin,5,NONE,0) X(DecryptMessageNext,8,NONE,0) X(MessageDecryptFinal,1,NONE,0) \
 X(MessageSignInit,3,NONE,0) X(SignMessage,7,NONE,0) X(SignMessageBegin,3,NONE,0) X(SignMessageNext,7,NONE,0) X(MessageSignFinal,1,NONE,0) \
 X(MessageVerifyInit,3,NONE,0) X(VerifyMessage,7,NONE,0) X(VerifyMessageBegin,3,NONE,0) X(VerifyMessageNext,7,NONE,0) X(MessageVerifyFinal,1,NONE,0)
enum {
#define SP_NUMBER(n,c,k,m) FN_##n,
 SP_FUNCTIONS(SP_NUMBER)
 SP_FUNCTIONS_3(SP_NUMBER)
#undef SP_NUMBER
 FN_COUNT,
 FN_ANSWERED /* no function: the shim tells the core what it answered by itself */
};
static inline const char *sp_name(unsigned fn) {
#define SP_NAME(n,c,k,m) "C_" #n,
 static const char *const names[] = { SP_FUNCTIONS(SP_NAME) SP_FUNCTIONS_3(SP_NAME) };
#undef SP_NAME
 return fn < FN_COUNT ? names[fn] : "?";
}
#endif
