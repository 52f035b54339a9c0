// Stands in for Gloo's header, which libtorch's wheels leave out; c10d's header needs nothing of it.
#pragma once
