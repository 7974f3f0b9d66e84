/** Imported before the tests that run here more often than in their own tier. */
process.env['PROPERTY_RUNS'] = '240';
