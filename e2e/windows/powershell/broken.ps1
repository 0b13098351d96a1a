# What the check must not let pass: a block without an end.
function Test-Broken {
    if ($true) { 'yes'
}
