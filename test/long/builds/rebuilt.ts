/** The same workflows in another bundle, which lets a history tell the two builds apart. */
export * from '../../../workflows';
