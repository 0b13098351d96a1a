package main

// What the packages hold: tables to read and to change. GUIDs are never listed: a
// component's GUID is computed from its name here, so it stays the same in all versions.
// Never rename a component, and give it a new name when its files go to another folder.

// upgradeCode stands for all our packages, of both lines, of all platforms and versions:
// whichever is installed, the next one replaces it.
const upgradeCode = "{94254626-AF22-41E0-AA2B-C5931A9CD8ED}"

// namespace is the root of all computed GUIDs (RFC 9562, version 5).
const namespace = "ba16ba8e-79c5-4aa3-9a62-d0a74a1ab3b6"

const (
	manufacturer = "SignPath"
	oldest       = "0.0.0" // the first version that an upgrade replaces
	configFile   = "CryptoProvidersConfig.json"
	ourKey       = `SOFTWARE\SignPath\CryptoProviders`
	kspKey       = `SYSTEM\CurrentControlSet\Control\Cryptography\Providers\SignPathKSP`
	kspList      = `SYSTEM\CurrentControlSet\Control\Cryptography\Configuration\Local\Default\00010001\KEY_STORAGE`
	cspKey       = `SOFTWARE\Microsoft\Cryptography\Defaults\Provider\SignPathCSP`
)

// A line is one of the packages that are made from this source.
type line struct {
	file     string // its name in front of -VERSION
	version  bool   // whether the version is part of the name
	name     string
	features []string
}

var lines = map[string]line{
	"providers": {"SignPathCryptoProviders", true, "SignPath Crypto Providers", []string{"KSP", "KSP32", "CSP", "CSP32", "Cryptoki", "SignPathConfigAndEnv", "Path"}},
	"ksp":       {"SignPath.Windows.KSP", false, "SignPath Windows KSP", []string{"KSP", "KSP32", "SignPathConfigAndEnv", "Path"}},
}

// A platform is what a package is for.
type platform struct {
	goarch   string
	suffix   string // of the package's name; the documented name is that of x64
	template string // of the summary information
	wide     bool   // 64 bits: it also carries the DLLs for 32-bit programs
}

var platforms = map[string]platform{
	"amd64": {"amd64", "", "x64", true},
	"386":   {"386", "-x86", "Intel", false},
	"arm64": {"arm64", "-arm64", "Arm64", true},
}

// A feature is what ADDLOCAL names.
type feature struct {
	name, parent, title, description string
	wide                             bool // of 64-bit packages only
	asked                            bool // installed only when ADDLOCAL names it
	components                       []string
}

var features = []feature{
	{"KSP", "", "Key storage provider (CNG)", "SignPathKSP: signtool, PowerShell, ClickOnce, Java and all programs that use CNG.", false, false, []string{"Ksp", "KspList", "Program"}},
	{"KSP32", "KSP", "Key storage provider for 32-bit programs", "Office macros and 32-bit signtool need it.", true, false, []string{"Ksp32"}},
	{"CSP", "", "Cryptographic service provider (CAPI)", "SignPathCSP: programs that use the older CryptoAPI, RSA keys only.", false, false, []string{"Csp", "Program"}},
	{"CSP32", "CSP", "Cryptographic service provider for 32-bit programs", "32-bit programs that use the older CryptoAPI.", true, false, []string{"Csp32"}},
	{"Cryptoki", "", "PKCS #11 module", "SignPath.Cryptoki.dll: OpenSSL, Java's SunPKCS11 and others.", false, false, []string{"Cryptoki", "Program"}},
	{"SignPathConfigAndEnv", "", "Configuration file", "An empty configuration file, and the variable SIGNPATH_CONFIG_FILE that names it.", false, false, []string{"Config", "ConfigEnv", "Program"}},
	{"Path", "", "signpath.exe on the PATH", "Adds the program folder to the PATH of all users.", false, true, []string{"PathEnv", "Program"}},
}

// A component is the smallest part that is installed or not. Its first file is its key
// path, else its first registry value.
type component struct {
	name      string
	folder    string
	narrow    bool // a 32-bit component of a 64-bit package
	permanent bool // stays when the package goes
	untouched bool // not installed where it is already
	files     []file
	registry  []registryValue
	variables []variable
}

// A file comes from dist/windows-ARCH or, if it says text, from the repository.
type file struct {
	id, short, name string
	text            string // its path in the repository
}

// registryValue is a value below HKEY_LOCAL_MACHINE, in the form of the Registry table:
// "#1" a number, "#x00" bytes, "[~]" parts of a list. The name "-" removes the key with
// all that is in it when the component goes.
type registryValue struct{ key, name, value string }

// variable is a row of the Environment table.
type variable struct{ name, value string }

var components = []component{
	{name: "Program", folder: "INSTALLDIR", files: []file{{"signpath.exe", "SIGNPATH.EXE", "signpath.exe", ""}, {"LICENSE.txt", "LICENSE.TXT", "LICENSE.txt", "LICENSE"}}, registry: []registryValue{{ourKey, "InstallDir", "[INSTALLDIR]"}}},
	{name: "Ksp", folder: "SYSTEM", files: []file{{"Ksp", "SPKSP.DLL", "SignPath.Ksp.dll", ""}}, registry: []registryValue{
		{kspKey + `\UM`, "Image", "SignPath.Ksp.dll"},
		{kspKey + `\UM\00010001`, "Flags", "#1"},
		{kspKey + `\UM\00010001`, "Functions", "[~]KEY_STORAGE[~]"},
		{kspKey, "-", ""},
	}},
	// The list belongs to Windows: we add our name behind those that are there. It is kept
	// here so that no installer takes the list away; the action UnregisterKsp removes our name.
	{name: "KspList", folder: "SYSTEM", permanent: true, registry: []registryValue{{kspList, "Providers", "[~]SignPathKSP"}}},
	{name: "Ksp32", folder: "SYSTEM32", narrow: true, files: []file{{"Ksp32", "SPKSP.DLL", "SignPath.Ksp.dll", ""}}},
	{name: "Csp", folder: "SYSTEM", files: []file{{"Csp", "SPCSP.DLL", "SignPath.Csp.dll", ""}}, registry: cspRegistry("Csp")},
	{name: "Csp32", folder: "SYSTEM32", narrow: true, files: []file{{"Csp32", "SPCSP.DLL", "SignPath.Csp.dll", ""}}, registry: cspRegistry("Csp32")},
	{name: "Cryptoki", folder: "INSTALLDIR", files: []file{{"Cryptoki", "SPCKI.DLL", "SignPath.Cryptoki.dll", ""}}},
	{name: "Config", folder: "INSTALLDIR", permanent: true, untouched: true, files: []file{{"Config", "CONFIG.JSN", configFile, "packaging/windows/" + configFile}}},
	{name: "ConfigEnv", folder: "INSTALLDIR", registry: []registryValue{{ourKey, "ConfigFile", "[INSTALLDIR]" + configFile}}, variables: []variable{{"=-*SIGNPATH_CONFIG_FILE", "[INSTALLDIR]" + configFile}}},
	{name: "PathEnv", folder: "INSTALLDIR", registry: []registryValue{{ourKey, "Path", "#1"}}, variables: []variable{{"=-*PATH", "[~];[INSTALLDIR]"}}},
}

// cspRegistry: Windows since 8 asks for no signature of a CSP, but for a value with one.
// PROV_RSA_AES (24) is the type that SHA-2 needs. 32-bit components write the same key,
// which Windows keeps below WOW6432Node.
func cspRegistry(file string) []registryValue {
	return []registryValue{{cspKey, "Image Path", "[#" + file + "]"}, {cspKey, "Type", "#24"}, {cspKey, "SigInFile", "#0"}, {cspKey, "Signature", "#x00000000"}, {cspKey, "-", ""}}
}

// A search looks in the registry of this machine before anything else.
type search struct{ property, key, name string }

var searches = []search{
	{"PREVIOUSDIR", ourKey, "InstallDir"},
	{"PROCESSOR", `SYSTEM\CurrentControlSet\Control\Session Manager\Environment`, "PROCESSOR_ARCHITECTURE"},
}

// A refusal ends the installation with a sentence unless its condition holds.
type refusal struct{ platforms, condition, sentence string }

var refusals = []refusal{
	{"amd64 386 arm64", "Installed OR NOT NEWERFOUND", "A newer version of [ProductName] is installed. Uninstall it first if you want this older one; an edited configuration file stays."},
	{"386", "Installed OR NOT VersionNT64", "This package is for 32-bit Windows. On 64-bit Windows install the x64 or arm64 package: it brings the DLLs for 32-bit programs along."},
	{"amd64", `Installed OR NOT PROCESSOR OR NOT PROCESSOR ~= "ARM64"`, "This package is for x64 processors. Install the arm64 package on this machine."},
}

// The configuration stays during an upgrade, edited or not: Windows Installer asks whether
// it is there before it removes the older version, and would not bring a new one.
//
// An action is a row of the CustomAction table with its places. Those with an entry are
// functions of action/action.c; they run with the rights of the installer, and when one
// fails the installation goes on: what to do then stands in the log. Those without set a
// property.
type action struct {
	name      string
	entry     string // function of the DLL
	rollback  bool   // runs when the installation fails behind it
	property  string // what it sets …
	value     string // … to this
	condition string
	execute   int // place in InstallExecuteSequence, 0: none
	ui        int // place in InstallUISequence
}

var actions = []action{
	{name: "SetPreviousDir", property: "INSTALLDIR", value: "[PREVIOUSDIR]", condition: "PREVIOUSDIR AND NOT INSTALLDIR", execute: 110, ui: 110},
	{name: "SetInstallLocation", property: "ARPINSTALLLOCATION", value: "[INSTALLDIR]", execute: 1010},
	{name: "UndoUnregisterKsp", entry: "RegisterKsp", rollback: true, condition: "&KSP=2 AND !KSP>2", execute: 2580},
	{name: "UnregisterKsp", entry: "UnregisterKsp", condition: "&KSP=2 AND !KSP>2", execute: 2590},
	{name: "NameConfiguration", property: "RemoveUntouchedConfiguration", value: "[INSTALLDIR]" + configFile, condition: "&SignPathConfigAndEnv=2 AND !SignPathConfigAndEnv>2 AND NOT UPGRADINGPRODUCTCODE", execute: 3440},
	{name: "RemoveUntouchedConfiguration", entry: "RemoveUntouchedConfiguration", condition: "&SignPathConfigAndEnv=2 AND !SignPathConfigAndEnv>2 AND NOT UPGRADINGPRODUCTCODE", execute: 3450},
	{name: "UndoRegisterKsp", entry: "UnregisterKsp", rollback: true, condition: "&KSP=3 AND !KSP<3", execute: 5290},
	{name: "RegisterKsp", entry: "RegisterKsp", condition: "&KSP=3", execute: 5300},
}

// properties of the package besides its names and codes. Without the first two, a silent
// installation may end programs that use our DLLs and start Windows anew; with them it
// ends with code 3010 when a restart is due.
var properties = [][2]string{
	{"REBOOT", "ReallySuppress"},
	{"MSIRESTARTMANAGERCONTROL", "Disable"},
	{"ALLUSERS", "1"},
	{"ARPCOMMENTS", "Signing tools sign with keys that stay in the signing service."},
	{"SecureCustomProperties", "INSTALLDIR;NEWERFOUND;OLDERFOUND;PREVIOUSDIR"},
}

// standardActions are Windows Installer's own, with their places: InstallExecuteSequence,
// InstallUISequence, AdminExecuteSequence, AdminUISequence, AdvtExecuteSequence (0: none).
var standardActions = []struct {
	name                               string
	execute, ui, admin, adminUI, advtd int
}{
	{"FindRelatedProducts", 25, 25, 0, 0, 0},
	{"AppSearch", 50, 50, 0, 0, 0},
	{"LaunchConditions", 100, 100, 0, 0, 0},
	{"ValidateProductID", 700, 700, 0, 0, 0},
	{"CostInitialize", 800, 800, 800, 800, 800},
	{"FileCost", 900, 900, 900, 900, 0},
	{"CostFinalize", 1000, 1000, 1000, 1000, 1000},
	{"MigrateFeatureStates", 1200, 1200, 0, 0, 0},
	{"ExecuteAction", 0, 1300, 0, 1300, 0},
	{"InstallValidate", 1400, 0, 1400, 0, 1400},
	{"InstallInitialize", 1500, 0, 1500, 0, 1500},
	{"RemoveExistingProducts", 1501, 0, 0, 0, 0}, // inside the transaction: when the new one fails, the old one comes back
	{"ProcessComponents", 1600, 0, 0, 0, 0},
	{"UnpublishFeatures", 1800, 0, 0, 0, 0},
	{"RemoveRegistryValues", 2600, 0, 0, 0, 0},
	{"RemoveEnvironmentStrings", 3300, 0, 0, 0, 0},
	{"RemoveFiles", 3500, 0, 0, 0, 0},
	{"RemoveFolders", 3600, 0, 0, 0, 0},
	{"CreateFolders", 3700, 0, 0, 0, 0},
	{"InstallAdminPackage", 0, 0, 3900, 0, 0},
	{"InstallFiles", 4000, 0, 4000, 0, 0},
	{"WriteRegistryValues", 5000, 0, 0, 0, 0},
	{"WriteEnvironmentStrings", 5200, 0, 0, 0, 0},
	{"RegisterUser", 6000, 0, 0, 0, 0},
	{"RegisterProduct", 6100, 0, 0, 0, 0},
	{"PublishFeatures", 6300, 0, 0, 0, 6300},
	{"PublishProduct", 6400, 0, 0, 0, 6400},
	{"InstallFinalize", 6600, 0, 6600, 0, 6600},
}
