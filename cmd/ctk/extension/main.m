#import <Foundation/Foundation.h>

// macOS starts the extension and finds the driver's class in its Info.plist.
int main(int argc, const char *argv[]) { return NSExtensionMain(argc, argv); }
