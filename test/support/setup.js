// jest runs tests in a realm of their own, which lacks the Symbol.dispose that Node gives the main one.
Symbol.dispose ??= Symbol('Symbol.dispose');
// Test files and the processes they start share the cores: threads that wait at a barrier sleep instead of spinning.
process.env.OMP_WAIT_POLICY ??= 'PASSIVE';
