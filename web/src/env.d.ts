/// <reference types="vite/client" />

/** The version of the package v86, put in by the build. */
declare const V86_VERSION: string;
