/** The same workflows in another bundle, by which a history tells the two builds apart. */
export * from '../../../workflows';
