// jest runs tests in a realm of their own, which lacks the Symbol.dispose that Node gives the main one.
Symbol.dispose ??= Symbol('Symbol.dispose');
