pub const FOR_ARM: bool = cfg!(feature = "arm");
